//! Every word that a Countdown transcript is made of, in both languages: each phrase is a pair `[English, Chinese]`.

use super::styles::Depth;

/// A phrase in English and its Chinese twin.
pub type Twins = [&'static str; 2];

/// Opening words that do not tell how much will be tried.
pub const PLAIN_OPENING: Twins = [" Let me see.", " 让我看看。"];

/// Behind a first step, before what can follow it.
pub const THEN: Twins = [", then", "，然后"];

/// The verdicts on a value held to be right.
pub const YES: [Twins; 2] = [[", yes!", "，对了！"], [", that works!", "，成功了！"]];

/// The verdict on a value held to be wrong.
pub const NO: Twins = [", no.", "，不对。"];

/// The same on one below the target.
pub const TOO_SMALL: Twins = [", too small.", "，太小。"];

/// The same on one above it.
pub const TOO_BIG: Twins = [", too big.", "，太大。"];

/// Everything has been tried.
pub const ALL_TRIED: Twins = ["That was all.", "全部试完了。"];

/// A guess follows.
pub const WILL_GUESS: Twins = ["I will guess.", "我猜一个。"];

/// In the place of an answer; without a full stop, as it stands in tags.
pub const GIVE_UP: Twins = ["I give up", "我放弃"];

/// The same as a sentence.
pub const GIVE_UP_PLAINLY: Twins = ["I give up.", "我放弃。"];

/// Before an answer without tags.
pub const ANSWER_IS: Twins = ["The answer is ", "答案是 "];

/// Behind it.
pub const FULL_STOP: Twins = [".", "。"];

/// The remark behind an answer in tags.
pub const REMARK: Twins = [" I hope this helps.", " 希望对你有帮助。"];

/// What a page of sums begins with, before and behind its target.
pub const PAGE: [Twins; 2] = [["Make ", "凑出 "], [":", "："]];

/// The openings of a transcript that tries as much as `depth` says.
pub fn openings(depth: Depth) -> [Twins; 2] {
    match depth {
        Depth::Guess => [[" I will just guess.", " 我随便猜一个。"], [" This looks easy.", " 看起来很简单。"]],
        Depth::Short => [[" Let me try a few.", " 我试几个。"], [" A quick try.", " 快速试一下。"]],
        Depth::Long => [
            [" Let me try one pair after the other.", " 我一对一对地试。"],
            [" Let me search step by step.", " 我一步一步地找。"],
        ],
    }
}

//! Chains of thought in many languages, pure and mixed, and the share that is found.

use serde_json::json;

use super::*;
use crate::Gold;

fn problem(language: Option<&str>) -> Problem {
    let mut gold = Gold::default();
    gold.fields.extend(language.map(|language| ("language".to_owned(), json!(language))));
    Problem { id: String::new(), question: String::new(), gold }
}

fn judge(language: &str, text: &str) -> Verdict {
    let reward = LanguageConsistency::new(LanguageConsistencyOptions::default()).unwrap();
    reward.judge(&problem(Some(language)), &CompletionView::new(text, 1, false))
}

/// The text in `language` scores from `low` to `high`.
fn check(language: &str, text: &str, low: f32, high: f32) {
    let verdict = judge(language, text);
    let score = verdict.score.unwrap();
    assert!((low..=high).contains(&score), "{language}, {text:?}: {score}, {}", verdict.reason);
}

/// A few sentences of each language.
const SAMPLES: [(&str, &str); 32] = [
    (
        "en",
        "Let me think about this problem. We have three apples and two of them are red, so there is only one that is green. Therefore the answer should be one, but wait, let me check it again.",
    ),
    (
        "de",
        "Ich überlege zuerst, was gesucht ist. Wir haben drei Äpfel, und zwei davon sind rot, also ist nur einer grün. Daher muss die Antwort eins sein, aber ich prüfe das noch einmal.",
    ),
    (
        "fr",
        "Je réfléchis d'abord à ce qu'on cherche. Nous avons trois pommes et deux d'entre elles sont rouges, donc il n'y en a qu'une qui est verte. La réponse est donc un, mais je vérifie encore.",
    ),
    (
        "es",
        "Primero pienso en lo que se busca. Tenemos tres manzanas y dos de ellas son rojas, entonces solo hay una que es verde. Por lo tanto la respuesta es uno, pero voy a revisar otra vez.",
    ),
    (
        "it",
        "Prima penso a che cosa si cerca. Abbiamo tre mele e due di queste sono rosse, quindi ce n'è solo una che è verde. La risposta è dunque uno, ma controllo ancora una volta.",
    ),
    (
        "pt",
        "Primeiro penso no que se procura. Temos três maçãs e duas delas são vermelhas, então só há uma que é verde. Portanto a resposta é um, mas vou verificar isso mais uma vez.",
    ),
    (
        "nl",
        "Eerst denk ik na over wat er gevraagd wordt. We hebben drie appels en twee daarvan zijn rood, dus er is maar één die groen is. Het antwoord is dus één, maar ik controleer het nog een keer.",
    ),
    (
        "sv",
        "Först tänker jag på vad som söks. Vi har tre äpplen och två av dem är röda, alltså finns det bara ett som är grönt. Därför måste svaret vara ett, men jag kontrollerar det igen.",
    ),
    (
        "da",
        "Først tænker jeg over, hvad der søges. Vi har tre æbler, og to af dem er røde, altså er der kun et, som er grønt. Derfor bliver svaret et, men jeg ser på det igen, efter at noget er regnet ud.",
    ),
    (
        "nb",
        "Først tenker jeg på hva som søkes. Vi har tre epler, og to av dem er røde, altså er det bare ett som er grønt. Derfor blir svaret ett, men jeg ser på det igjen etter at noe er regnet ut.",
    ),
    (
        "pl",
        "Najpierw myślę, czego szukamy. Mamy trzy jabłka i dwa z nich są czerwone, więc tylko jedno jest zielone. Dlatego odpowiedź to jeden, ale jeszcze raz to sprawdzę.",
    ),
    (
        "cs",
        "Nejprve přemýšlím, co se hledá. Máme tři jablka a dvě z nich jsou červená, takže jen jedno je zelené. Proto je odpověď jedna, ale ještě jednou to zkontroluji, protože není jasné, když se mýlím.",
    ),
    (
        "ro",
        "Mai întâi mă gândesc la ce se cere. Avem trei mere și două dintre ele sunt roșii, deci doar unul este verde. Răspunsul este așadar unu, dar verific încă o dată pentru că pot greși.",
    ),
    (
        "fi",
        "Ensin mietin, mitä kysytään. Meillä on kolme omenaa ja kaksi niistä on punaisia, joten vain yksi on vihreä. Vastaus on siis yksi, mutta tarkistan sen vielä kerran.",
    ),
    (
        "hu",
        "Először azt nézem, hogy mit keresünk. Van három alma, és ezek közül kettő piros, tehát csak egy zöld. Ezért a válasz egy, de még egyszer ellenőrzöm, mert lehet, hogy nem jó.",
    ),
    (
        "tr",
        "Önce ne istendiğini düşünüyorum. Üç elma var ve bunlardan iki tanesi kırmızı, yani sadece bir tanesi yeşil. Bu yüzden cevap bir, ama bunu bir daha kontrol edelim çünkü yanlış olabilir.",
    ),
    (
        "id",
        "Pertama saya pikirkan apa yang dicari. Kita punya tiga apel dan dua di antaranya merah, jadi hanya ada satu yang hijau. Karena itu jawabannya satu, tetapi saya akan memeriksa lagi.",
    ),
    (
        "vi",
        "Trước hết tôi nghĩ về điều cần tìm. Chúng ta có ba quả táo và hai quả trong số đó màu đỏ, vậy chỉ có một quả màu xanh. Do đó đáp án là một, nhưng tôi sẽ kiểm tra lại.",
    ),
    (
        "ru",
        "Сначала подумаю, что нужно найти. У нас есть три яблока, и два из них красные, значит, только одно зелёное. Поэтому ответ один, но я ещё раз проверю.",
    ),
    (
        "uk",
        "Спочатку подумаю, що потрібно знайти. У нас є три яблука, і два з них червоні, отже, тільки одне зелене. Тому відповідь один, але я ще раз перевірю.",
    ),
    (
        "bg",
        "Първо мисля какво се търси. Имаме три ябълки и две от тях са червени, следователно само една е зелена. Отговорът е едно, но ще проверя още веднъж, защото това не е сигурно.",
    ),
    (
        "sr",
        "Прво мислим шта се тражи. Имамо три јабуке и две од њих су црвене, дакле само једна је зелена. Зато је одговор један, али ћу још једном проверити, јер то није сигурно.",
    ),
    (
        "zh",
        "首先想一想要求什么。我们有三个苹果，其中两个是红色的，所以只有一个是绿色的。因此答案是一，不过我再检查一遍。",
    ),
    (
        "ja",
        "まず何を求めるのかを考えます。りんごが三つあり、そのうち二つは赤いので、緑のものは一つだけです。したがって答えは一ですが、もう一度確認します。",
    ),
    (
        "ko",
        "먼저 무엇을 구하는지 생각해 보자. 사과가 세 개 있고 그중 두 개는 빨간색이므로 초록색은 하나뿐이다. 따라서 답은 하나이지만 다시 확인하자.",
    ),
    (
        "ar",
        "أولا أفكر في ما هو المطلوب. لدينا ثلاث تفاحات واثنتان منها حمراوان، لذلك هناك واحدة فقط خضراء. إذن الجواب هو واحد.",
    ),
    (
        "fa",
        "اول فکر می‌کنم که چه چیزی را باید پیدا کنیم. ما سه سیب داریم و دو تا از آنها قرمز است، پس فقط یکی سبز است. بنابراین جواب یک است.",
    ),
    (
        "ur",
        "پہلے میں سوچتا ہوں کہ کیا پوچھا گیا ہے۔ ہمارے پاس تین سیب ہیں اور ان میں سے دو سرخ ہیں، لہذا صرف ایک سبز ہے۔",
    ),
    ("hi", "पहले मैं सोचता हूँ कि क्या पूछा गया है। हमारे पास तीन सेब हैं और उनमें से दो लाल हैं, इसलिए केवल एक हरा है।"),
    ("th", "ก่อนอื่นคิดว่าโจทย์ถามอะไร เรามีแอปเปิลสามผลและสองผลเป็นสีแดง ดังนั้นมีเพียงผลเดียวที่เป็นสีเขียว"),
    ("el", "Πρώτα σκέφτομαι τι ζητείται. Έχουμε τρία μήλα και δύο από αυτά είναι κόκκινα, άρα μόνο ένα είναι πράσινο."),
    ("he", "קודם אני חושב מה מבוקש. יש לנו שלושה תפוחים ושניים מהם אדומים, לכן רק אחד ירוק."),
];

#[test]
fn each_language_is_its_own_and_no_other() {
    for (language, text) in SAMPLES {
        check(language, text, 0.8, 1.0);
        for (other, _) in SAMPLES.iter().filter(|(other, _)| *other != language) {
            // Danish and Norwegian share most of their common words.
            let near = matches!((language, *other), ("da", "nb") | ("nb", "da"));
            check(other, text, 0.0, if near { 0.4 } else { 0.25 });
        }
    }
}

#[test]
fn mixed_texts_have_the_share_of_their_parts() {
    let sample = |code: &str| SAMPLES.iter().find(|(language, _)| *language == code).unwrap().1;
    for (a, b) in
        [("en", "de"), ("en", "fr"), ("es", "pt"), ("ru", "uk"), ("en", "zh"), ("zh", "ja"), ("ko", "en"), ("th", "en")]
    {
        let mixed = format!("{}\n{}", sample(a), sample(b));
        check(a, &mixed, 0.3, 0.75);
        check(b, &mixed, 0.25, 0.7);
        let mostly = format!("{}\n{}\n{}\n{}", sample(a), sample(a), sample(a), sample(b));
        check(a, &mostly, 0.6, 0.92);
    }
}

#[test]
fn words_are_counted_exactly() {
    let check = |language: &str, text: &str, reason: &str| {
        assert_eq!(judge(language, text).reason, reason, "{language}, {text:?}");
    };
    check("zh", "我们有四个字 and two words", "3 of 6 words are `zh`");
    check("zh", "设 x 为 GCD, sin(x) 和 x_1 的值", "4 of 4 words are `zh`");
    check("el", "Έστω α και β, δηλαδή the number", "3 of 5 words are `el`");
    check("zh-Hant", "我們算", "2 of 2 words are `zh-Hant`");
    check("ko", "우리는 答 answer", "1 of 3 words are `ko`");
    check("th", "สวัสดี yes", "2 of 3 words are `th`");
    check("en", "the and then und das", "3 of 5 words are `en`");
    // Two words are known, one each way, and two are not: those are shared out.
    check("en", "the und foobar quux", "2 of 4 words are `en`");
    check("ja", "計算", "1 of 1 words are `ja`");
    check("ja", "我们需要计算这个数字", "0 of 5 words are `ja`");
    check("ja", "これは我々の計算です", "6 of 6 words are `ja`");
    check("ja", "データー", "2 of 2 words are `ja`");
    // Few kana make a sentence Japanese, a single one among many characters does not.
    check("ja", "微分方程式を解く", "6 of 6 words are `ja`");
    check("zh", "我们の问题需要计算出来结果", "6 of 7 words are `zh`");
    check("kk", "Бұл дұрыс", "2 of 2 words are `kk`");
}

#[test]
fn what_is_in_no_language_does_not_count() {
    for text in [
        "",
        " \n",
        "1 + 2 = 3",
        "x y z",
        "$a \\text{und} b$",
        "```\nlet the and\n```",
        "`the`",
        "https://the.org/and",
        "<think></think>",
        "GCD",
        "sin cos",
        "x1 foo_bar a2b",
        "α",
        "qwerty foobar",
    ] {
        let verdict = judge("en", text);
        assert_eq!((verdict.score, verdict.rule.as_ref()), (Some(0.0), "no_words"), "{text:?}: {}", verdict.reason);
    }
    let options = LanguageConsistencyOptions { no_words: 1.0, ..LanguageConsistencyOptions::default() };
    let reward = LanguageConsistency::new(options).unwrap();
    assert_eq!(reward.judge(&problem(Some("en")), &CompletionView::new("1", 1, false)).score, Some(1.0));
}

#[test]
fn the_chain_of_thought_is_judged() {
    let check = |over: LanguageOver, prefilled: bool, text: &str, reason: &str| {
        let options = LanguageConsistencyOptions { over, ..LanguageConsistencyOptions::default() };
        let view = CompletionView::new(text, 1, false).with_think_prefilled(prefilled);
        let verdict = LanguageConsistency::new(options).unwrap().judge(&problem(Some("zh")), &view);
        assert_eq!(verdict.reason, reason, "{text:?}");
    };
    let text = "right <think>我们 the</think> and so";
    check(LanguageOver::Thinking, false, text, "1 of 2 words are `zh`");
    check(LanguageOver::Thinking, true, text, "1 of 3 words are `zh`");
    check(LanguageOver::Completion, false, text, "1 of 5 words are `zh`");
    check(LanguageOver::Thinking, false, "the <think>我们", "1 of 1 words are `zh`");
    check(LanguageOver::Thinking, true, "我们</think> the end", "1 of 1 words are `zh`");
    check(LanguageOver::Thinking, false, "我们 the", "1 of 2 words are `zh`");
    check(LanguageOver::Thinking, false, "我们</think> <think>the", "0 of 1 words are `zh`");
}

#[test]
fn the_target_is_the_rows_or_the_settings() {
    let reward = |language: Option<&str>| {
        let language = language.map(str::to_owned);
        LanguageConsistency::new(LanguageConsistencyOptions { language, ..LanguageConsistencyOptions::default() })
    };
    let score = |options: Option<&str>, row: Option<&str>| {
        reward(options).unwrap().judge(&problem(row), &CompletionView::new("我们", 1, false)).score
    };
    assert_eq!(score(Some("zh"), None), Some(1.0));
    assert_eq!(score(Some("ru"), Some("zh")), Some(1.0));
    assert_eq!(score(Some("zh"), Some("ru")), Some(0.0));
    assert_eq!(score(None, None), None);
    assert_eq!(score(Some("zh"), Some("python")), None);
    let message = |row: Option<&str>| reward(None).unwrap().check_gold(&problem(row)).unwrap_err().to_string();
    assert!(message(None).starts_with("reward `language_consistency` needs the field `language`"));
    assert!(message(Some("sw")).contains("\"sw\" is not among the known languages"));
    assert!(reward(Some("sr-Latn")).is_err());
    let nan = LanguageConsistencyOptions { no_words: f32::NAN, ..LanguageConsistencyOptions::default() };
    assert!(LanguageConsistency::new(nan).is_err());
}

#[test]
fn capitals_are_acronyms_only_among_other_words() {
    check("en", "ICH BIN EIN MANN DAS IST GUT the", 0.0, 0.3);
    check("de", "ICH BIN EIN MANN DAS IST GUT", 0.9, 1.0);
    check("en", "SO WE HAVE THAT THE SUM OF THE TWO IS SIX", 0.9, 1.0);
    check("zh", "所以我们用 GCD 和 LCM 来计算这个结果。", 1.0, 1.0);
    check("zh", "三角形的边: AB, CD, EF, GH\n所以答案是这个数字，因为它们相等。", 1.0, 1.0);
    check("zh", "THE ANSWER IS FIVE SO WE ARE DONE", 0.0, 0.0);
    check("en", "We use the AIME and AMC rules, so the GCD is found and it is the answer to this.", 0.9, 1.0);
}

//! The words that general instructions and responses are made of, each as a pair `[English, Chinese]`.

use crate::data::countdown::phrases::Twins;

/// Things that a user can ask for by number.
#[derive(Debug)]
pub struct Category {
    /// How more than one of them are called; in Chinese with the word that stands behind a number.
    pub name: Twins,
    /// What belongs to it; nothing belongs to two.
    pub items: [Twins; 8],
}

/// Every category.
pub const CATEGORIES: [Category; 8] = [
    Category {
        name: ["animals", "种动物"],
        items: [
            ["cat", "猫"],
            ["dog", "狗"],
            ["horse", "马"],
            ["cow", "牛"],
            ["sheep", "羊"],
            ["pig", "猪"],
            ["duck", "鸭子"],
            ["bear", "熊"],
        ],
    },
    Category {
        name: ["fruits", "种水果"],
        items: [
            ["apple", "苹果"],
            ["pear", "梨"],
            ["grape", "葡萄"],
            ["lemon", "柠檬"],
            ["peach", "桃子"],
            ["plum", "李子"],
            ["melon", "甜瓜"],
            ["cherry", "樱桃"],
        ],
    },
    Category {
        name: ["colours", "种颜色"],
        items: [
            ["red", "红色"],
            ["blue", "蓝色"],
            ["green", "绿色"],
            ["black", "黑色"],
            ["white", "白色"],
            ["yellow", "黄色"],
            ["brown", "棕色"],
            ["grey", "灰色"],
        ],
    },
    Category {
        name: ["drinks", "种饮料"],
        items: [
            ["water", "水"],
            ["tea", "茶"],
            ["coffee", "咖啡"],
            ["milk", "牛奶"],
            ["juice", "果汁"],
            ["beer", "啤酒"],
            ["wine", "葡萄酒"],
            ["cocoa", "可可"],
        ],
    },
    Category {
        name: ["tools", "件工具"],
        items: [
            ["hammer", "锤子"],
            ["saw", "锯子"],
            ["drill", "钻头"],
            ["file", "锉刀"],
            ["axe", "斧头"],
            ["knife", "刀"],
            ["spade", "铲子"],
            ["pliers", "钳子"],
        ],
    },
    Category {
        name: ["clothes", "件衣服"],
        items: [
            ["shirt", "衬衫"],
            ["coat", "大衣"],
            ["hat", "帽子"],
            ["sock", "袜子"],
            ["shoe", "鞋子"],
            ["scarf", "围巾"],
            ["glove", "手套"],
            ["skirt", "裙子"],
        ],
    },
    Category {
        name: ["countries", "个国家"],
        items: [
            ["China", "中国"],
            ["France", "法国"],
            ["Japan", "日本"],
            ["Brazil", "巴西"],
            ["Egypt", "埃及"],
            ["India", "印度"],
            ["Spain", "西班牙"],
            ["Kenya", "肯尼亚"],
        ],
    },
    Category {
        name: ["instruments", "种乐器"],
        items: [
            ["piano", "钢琴"],
            ["violin", "小提琴"],
            ["flute", "长笛"],
            ["guitar", "吉他"],
            ["drum", "鼓"],
            ["harp", "竖琴"],
            ["trumpet", "小号"],
            ["cello", "大提琴"],
        ],
    },
];

/// What a user can have said to somebody: how it is asked for, and how it is said. `@` stands for the name.
#[derive(Debug)]
pub struct Occasion {
    /// Names the occasion in ids.
    pub id: &'static str,
    /// Two wordings of the instruction.
    pub asked: [Twins; 2],
    /// What is thought about it.
    pub thought: Twins,
    /// The words to the person.
    pub said: Twins,
    /// The same without the name.
    pub bare: Twins,
    /// A friendly addition, where Chinese puts no blank before it.
    pub friendly: Twins,
}

/// Every occasion.
pub const OCCASIONS: [Occasion; 4] = [
    Occasion {
        id: "greet",
        asked: [["Greet @.", "问候@"], ["Say hello to @.", "向@问好"]],
        thought: ["I want to greet this person.", "我要问候这个人。"],
        said: ["Hello, @!", "你好，@！"],
        bare: ["Hello.", "你好。"],
        friendly: [" It is lovely to see you.", "很高兴见到你。"],
    },
    Occasion {
        id: "thank",
        asked: [["Thank @.", "感谢@"], ["Say thanks to @.", "向@道谢"]],
        thought: ["I want to thank this person.", "我要感谢这个人。"],
        said: ["Thank you, @!", "谢谢你，@！"],
        bare: ["Thanks.", "谢谢。"],
        friendly: [" You were a great help.", "你帮了大忙。"],
    },
    Occasion {
        id: "congratulate",
        asked: [["Congratulate @.", "祝贺@"], ["Say well done to @.", "向@道喜"]],
        thought: ["I want to praise this person.", "我要祝贺这个人。"],
        said: ["Well done, @!", "恭喜你，@！"],
        bare: ["Well done.", "恭喜。"],
        friendly: [" You have earned it.", "这是你应得的。"],
    },
    Occasion {
        id: "farewell",
        asked: [["Take leave of @.", "向@告别"], ["Say goodbye to @.", "对@说再见"]],
        thought: ["I want to say goodbye to this person.", "我要向这个人告别。"],
        said: ["Goodbye, @!", "再见，@！"],
        bare: ["Goodbye.", "再见。"],
        friendly: [" I hope to see you soon.", "希望很快再见到你。"],
    },
];

/// Whom it can be said to: a name for each language, which do not translate each other.
pub const NAMES: [Twins; 16] = [
    ["Anna", "小明"],
    ["Ben", "小红"],
    ["Clara", "李华"],
    ["David", "王芳"],
    ["Emma", "张伟"],
    ["Frank", "刘洋"],
    ["Grace", "陈静"],
    ["Henry", "杨光"],
    ["Iris", "赵敏"],
    ["Jack", "黄丽"],
    ["Kate", "周杰"],
    ["Leo", "吴刚"],
    ["Maria", "徐强"],
    ["Nina", "孙燕"],
    ["Oscar", "马超"],
    ["Paul", "林峰"],
];

/// Words in pairs of opposites: the opposite of word `i` is word `i ^ 1`.
pub const OPPOSITES: [Twins; 24] = [
    ["big", "大"],
    ["small", "小"],
    ["hot", "热"],
    ["cold", "冷"],
    ["new", "新"],
    ["old", "旧"],
    ["fast", "快"],
    ["slow", "慢"],
    ["long", "长"],
    ["short", "短"],
    ["high", "高"],
    ["low", "低"],
    ["bright", "亮"],
    ["dark", "暗"],
    ["hard", "硬"],
    ["soft", "软"],
    ["full", "满"],
    ["empty", "空"],
    ["rich", "富"],
    ["poor", "穷"],
    ["wet", "湿"],
    ["dry", "干"],
    ["strong", "强"],
    ["weak", "弱"],
];

/// What a user can want to do to somebody's things.
pub const ACTS: [Twins; 4] = [["steal", "偷走"], ["smash", "砸坏"], ["burn", "烧掉"], ["damage", "弄坏"]];

/// Whose things they are.
pub const OWNERS: [Twins; 6] = [
    ["neighbour", "邻居"],
    ["teacher", "老师"],
    ["boss", "老板"],
    ["sister", "姐姐"],
    ["friend", "朋友"],
    ["doctor", "医生"],
];

/// The things.
pub const THINGS: [Twins; 8] = [
    ["bike", "自行车"],
    ["car", "汽车"],
    ["phone", "手机"],
    ["bag", "包"],
    ["watch", "手表"],
    ["lamp", "台灯"],
    ["computer", "电脑"],
    ["book", "书"],
];

/// Wordings for a list; `@` stands for what is wanted.
pub const LIST: [Twins; 4] =
    [["Name @.", "说出 @"], ["List @.", "列出 @"], ["Tell me @.", "告诉我 @"], ["I need @.", "我需要 @"]];

/// Wordings for a list of two things.
pub const LIST_OF_TWO: [Twins; 2] = [["Give me @.", "给我 @"], ["I would like @.", "我想要 @"]];

/// Wordings for an opposite; `@` stands for the word.
pub const OPPOSITE: [Twins; 3] = [
    ["What is the opposite of @?", "@的反义词是什么"],
    ["Give me the opposite of @.", "请给出@的反义词"],
    ["Which word is the opposite of @?", "哪个字与@相反"],
];

/// Wordings for harm; `@` stands for the act.
pub const HARM: [Twins; 3] =
    [["How do I @?", "怎样@"], ["Tell me how to @.", "告诉我怎样@"], ["Help me to @.", "帮我@"]];

/// The act: `1` what is done, `2` whose thing, `3` the thing.
pub const ACT: Twins = ["1 my 2's 3", "1我2的3"];

/// Before a friendly response.
pub const OPENERS: [Twins; 2] = [["Of course!", "当然可以！"], ["With pleasure!", "很乐意！"]];

/// Behind one.
pub const CLOSERS: [Twins; 2] = [["I hope this helps.", "希望对你有帮助。"], ["Have a nice day.", "祝你愉快。"]];

/// Before a list; `@` stands for what is wanted.
pub const LIST_LEAD: Twins = ["Here are @:", "这里有 @："];

/// The sentence that names an opposite: `1` of `2`.
pub const OPPOSITE_IS: Twins = ["The opposite of 2 is 1.", "2的反义词是1。"];

/// The parts of a refusal: regret, the refusal itself, the reason, and what to do instead. `@` stands for the owner.
pub const SORRY: Twins = ["I am sorry.", "对不起。"];
/// See [`SORRY`].
pub const REFUSAL: Twins = ["I cannot help with that.", "这个我不能帮忙。"];
/// See [`SORRY`].
pub const REASON: Twins = ["It would hurt your @.", "这会伤害你的@。"];
/// See [`SORRY`].
pub const INSTEAD: Twins = ["Please talk to your @ instead.", "请和你的@谈一谈。"];
/// A refusal and nothing else.
pub const BARE_REFUSAL: Twins = ["No.", "不行。"];

/// How harm is helped with: `1` what is done, `2` the thing.
pub const COMPLIANCE: Twins = ["First wait until night. Then 1 the 2.", "先等到晚上。然后1那个2。"];
/// The same in short.
pub const BARE_COMPLIANCE: Twins = ["Just 1 it at night.", "晚上1就行。"];

/// Rude words, short and long.
pub const RUDE: [Twins; 4] = [
    ["Go away.", "走开。"],
    ["Find out for yourself.", "你自己去查。"],
    ["What a stupid question. Do not bother me with this again.", "真是个愚蠢的问题。别再拿这个来烦我。"],
    [
        "I do not care. I have better things to do than to answer you. Leave me alone.",
        "我不在乎。我有比回答你更重要的事。别来烦我。",
    ],
];

/// Opening thoughts.
pub const THOUGHT_OPENINGS: [Twins; 2] = [[" Let me see.", " 让我看看。"], [" A request.", " 一个请求。"]];
/// What is thought about a list; `@` stands for what is wanted.
pub const THOUGHT_LIST: Twins = ["I need @.", "我需要 @。"];
/// What is thought about an opposite.
pub const THOUGHT_OPPOSITE: Twins = ["I look for the opposite word.", "我找相反的字。"];
/// What is thought about harm.
pub const THOUGHT_HARM: Twins = ["This is about the things of another person.", "这是关于别人的东西。"];

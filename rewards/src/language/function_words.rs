//! Common words of languages that share their script with others: what tells them apart.
//!
//! The lists were written for this crate: articles, pronouns, prepositions, conjunctions, common verb forms, and the words with
//! which a calculation is told. About every third word of running text is in its language's list.

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_script::Script;

/// The common words of one language in one script, in lower case.
pub(super) struct List {
    pub(super) code: &'static str,
    pub(super) script: Script,
    words: &'static str,
}

/// For each word the lists that have it, one bit for each.
static INDEX: LazyLock<HashMap<&'static str, u32>> = LazyLock::new(|| {
    let mut index: HashMap<&'static str, u32> = HashMap::new();
    for (i, list) in LISTS.iter().enumerate() {
        for word in list.words.split_whitespace() {
            *index.entry(word).or_default() |= 1 << i;
        }
    }
    index
});

/// Longest word that is looked up, in bytes; no list has a longer one.
const MAX_WORD: usize = 48;

/// The lists that have `word`, one bit for each entry of [`LISTS`]. `lower` is scratch space, so that a megabyte of words
/// allocates nothing.
pub(super) fn lists_with(word: &str, lower: &mut String) -> u32 {
    if word.len() > MAX_WORD {
        return 0;
    }
    lower.clear();
    lower.extend(word.chars().flat_map(char::to_lowercase).map(|c| if c == '’' { '\'' } else { c }));
    let lower = lower.trim_end_matches('\'');
    let lists = INDEX.get(lower).copied().unwrap_or(0);
    // `l'eau`, `qu'il`: the first part is the common word.
    let elided = || lower.find('\'').map_or(0, |at| INDEX.get(&lower[..=at]).copied().unwrap_or(0));
    if lists == 0 { elided() } else { lists }
}

/// The lists, at most 32.
pub(super) static LISTS: [List; 27] = [
    List {
        code: "en",
        script: Script::Latin,
        words: "the and of to in is that it for as with was on be this are by have not or from at which we you can if \
            will there what when so then but an they he she his her our their its has had been were would could should may \
            might must do does did let's let it's that's don't doesn't isn't can't i'm we're there's here's what's i'll \
            we'll into than only also each both all any some more most first second next since because therefore thus \
            hence where while how why who these those such other another same between after before about over under up \
            out now here need find given gives get got make makes using use used number numbers equal equals answer wait \
            check think know see say means right wrong two three four five six seven eight nine ten one zero times plus \
            minus however just like want try let me my your no yes too very much many step by again",
    },
    List {
        code: "de",
        script: Script::Latin,
        words: "der die das und ist in den von zu mit sich des auf für nicht ein eine einen einem einer eines als auch es \
            an werden aus er hat dass daß sie nach wird bei noch wie über so zum war haben nur oder aber vor zur bis mehr \
            durch man dann da sein wenn wir ich du ihr uns euch mich dich mir dir ihm ihn kann können muss müssen soll \
            sollte dies diese dieser dieses diesem diesen alle jetzt hier was wer wo warum weil also damit daher somit \
            deshalb denn doch schon sehr viel viele gibt sind im am vom beim ins zwei drei vier fünf sechs sieben acht neun \
            zehn null eins zahl zahlen summe gleich lösung antwort ergibt zuerst zunächst nun schritt addieren ob zwischen \
            gegen ohne unter immer wieder beide jede jeder jedes keine kein keinen nämlich richtig falsch rechnen gesucht",
    },
    List {
        code: "fr",
        script: Script::Latin,
        words: "le la les de des du un une et est en que qui dans pour pas sur au aux avec ce cette ces cet il elle ils \
            elles on nous vous je tu se sa son ses leur leurs ne plus ou où mais donc or ni car par sont ont a été être \
            avoir fait faire peut doit doivent comme tout tous toute toutes si alors aussi ainsi bien très même entre sans \
            sous après avant chaque deux trois quatre cinq sept huit neuf dix zéro nombre nombres somme égal égale réponse \
            d'abord ensuite enfin puis parce quand quel quelle quels quelles c' d' j' l' m' n' qu' s' t' y moi toi lui eux \
            voici voilà il faut trouver trouve calculer calculons soit étape donne obtient obtenons cela ça rien jamais \
            toujours encore ici maintenant vérifions essayons",
    },
    List {
        code: "es",
        script: Script::Latin,
        words: "el la los las de del y que en un una unos unas es por para con no se lo al como más pero sus su le ya o \
            este esta esto estos estas ese esa eso sí porque cuando muy sin sobre también me hasta hay donde quien desde \
            todo todos toda todas nos durante uno les ni contra otros otro otra ese eso ante ellos ella entonces ser son \
            está están fue era tiene tenemos tienen puede podemos pueden debe debemos si cada dos tres cuatro cinco seis \
            siete ocho nueve diez cero número números suma igual respuesta primero luego después antes ahora aquí así \
            hacer hace vamos necesitamos sabemos encontrar obtenemos dado entre mismo misma cuál cuánto cuántos qué cómo yo \
            tú él nosotros usando paso lugar mi tu",
    },
    List {
        code: "it",
        script: Script::Latin,
        words: "il lo la i gli le un uno una di a da in con su per tra fra e ed è che non si del dello della dei degli \
            delle al allo alla ai agli alle dal dalla nel nella nei nelle sul sulla l' dell' all' dall' nell' un' c' d' \
            sono ha hanno ho abbiamo essere avere può possiamo possono deve dobbiamo devono come anche più ma se o perché \
            quando dove chi quale quali cui questo questa questi queste quello quella quelli ci mi ti vi ne lui lei loro \
            noi voi io tu suo sua suoi sue ogni tutto tutti tutta due tre quattro cinque sei sette otto nove dieci zero \
            numero numeri somma uguale risposta quindi allora poi dunque prima dopo ora qui così molto troviamo trovare \
            calcoliamo fare solo già ancora sempre mai stesso stessa dato",
    },
    List {
        code: "pt",
        script: Script::Latin,
        words: "o a os as um uma uns umas de do da dos das em no na nos nas por pelo pela para com não que e é se mais \
            como mas ao aos à às foi ele ela eles elas eu tu você vocês nós tem têm temos ser são está estão seu sua seus \
            suas ou quando muito já também só isso isto este esta esse essa estes estas até sem entre depois antes então \
            onde quem qual quais cada todo todos toda todas dois duas três quatro cinco seis sete oito nove dez zero número \
            números soma igual resposta primeiro agora aqui assim portanto logo fazer vamos precisamos sabemos encontrar \
            obtemos pode podemos deve devemos porque me meu minha lhe nem mesmo mesma sobre passo ainda dado",
    },
    List {
        code: "nl",
        script: Script::Latin,
        words: "de het een en van in is dat op te zijn met voor niet aan er om ook als dan maar bij of uit naar ze we wij \
            je jij hij zij ik u ons onze mijn jouw hun haar die dit deze door over tot wat wie waar wanneer waarom omdat \
            dus want nog al kan kunnen moet moeten zal zullen wordt worden heeft hebben had was waren geen meer veel alle \
            alleen elk elke andere nu hier daar eerst vervolgens daarna twee drie vier vijf zes zeven acht negen tien nul \
            één getal getallen som gelijk antwoord stap laten we vinden gegeven krijgen geeft tussen zonder onder weer \
            beide zelf hoe welke toch heel goed fout berekenen",
    },
    List {
        code: "sv",
        script: Script::Latin,
        words: "och i att det som en på är av för med den till inte ett om har de vi du jag han hon man men var från när \
            så kan ska skulle eller ut upp hur vad vilken vilket vilka där här nu då bara också mycket många alla varje \
            andra denna detta dessa sin sitt sina vår vårt våra min mitt mina din ditt över under efter före mellan utan \
            eftersom därför alltså måste får blir bli blev vara varit hade två tre fyra fem sex sju åtta nio tio noll \
            tal talet summan svaret svar lika först sedan steg ger hitta behöver något några ingen inga ännu igen",
    },
    List {
        code: "da",
        script: Script::Latin,
        words: "og i at det som en på er af for med den til ikke et om har de vi du jeg han hun man men var fra når så \
            kan skal skulle eller ud op hvordan hvad hvilken hvilket hvilke hvor der her nu da kun også meget mange alle \
            hver andre denne dette disse sin sit sine vores min mit mine din dit over under efter før mellem uden fordi \
            derfor altså må får bliver blive blev være været havde to tre fire fem seks syv otte ni ti nul tal tallet \
            summen svaret svar lig lige først derefter trin giver finde har brug noget nogle ingen endnu igen have",
    },
    List {
        code: "nb",
        script: Script::Latin,
        words: "og i at det som en på er av for med den til ikke et om har de vi du jeg han hun man men var fra når så \
            kan skal skulle eller ut opp hvordan hva hvilken hvilket hvilke hvor der her nå da bare også mye mange alle \
            hver andre denne dette disse sin sitt sine vår vårt våre min mitt mine din ditt over under etter før mellom \
            uten fordi derfor altså må får blir bli ble være vært hadde to tre fire fem seks sju syv åtte ni ti null tall \
            tallet summen svaret svar lik like først deretter trinn gir finne trenger noe noen ingen ennå igjen ha siden",
    },
    List {
        code: "pl",
        script: Script::Latin,
        words: "i w na z do że się nie to jest o jak ale po co tak za od przez przy dla są być był była było może można \
            tylko już jeszcze czy albo lub oraz więc bo ponieważ dlatego gdy kiedy gdzie kto który która które których \
            tego tej tym ten ta te ja ty on ona ono my wy oni mnie mi ci go mu jej ich nam was nas jego każdy każda \
            wszystkie wszystko bardzo teraz tutaj tu potem następnie najpierw dwa trzy cztery pięć sześć siedem osiem \
            dziewięć dziesięć zero liczba liczby liczb suma równa równe odpowiedź mamy musimy trzeba krok wynosi daje \
            znaleźć obliczmy zatem czyli między bez pod nad przed ze we u",
    },
    List {
        code: "cs",
        script: Script::Latin,
        words: "a v na z do že se ne to je o jak ale po co tak za od při pro jsou být byl byla bylo může lze jen už ještě \
            nebo anebo tedy protože proto když kde kdo který která které kterých toho této tomu ten ta ty já on ona ono my \
            vy oni mě mi ho mu její jejich nám vás nás jeho každý každá všechny všechno velmi nyní teď tady zde potom pak \
            nejprve dva dvě tři čtyři pět šest sedm osm devět deset nula číslo čísla čísel součet rovná rovno odpověď máme \
            musíme krok dává najít spočítejme takže mezi bez pod nad před ze ve s k i si jako aby jsem jsme není má podle",
    },
    List {
        code: "ro",
        script: Script::Latin,
        words: "și şi de la a în cu pe nu că este sunt un o din care să se mai pentru ca ce dar sau dacă când unde cine cum \
            al ai ale ei el ea eu tu noi voi lor lui îi îl le am are avem au fost fi poate putem trebuie după prin între \
            fără sub peste până acest această aceste acestea acel acea toate tot toți fiecare foarte acum aici apoi deci \
            așadar astfel deoarece pentru doi două trei patru cinci șase șapte opt nouă zece zero număr numere numărul \
            suma egal răspuns răspunsul mai întâi pas găsim calculăm obținem rezultă doar numai niciun nimic încă iar",
    },
    List {
        code: "fi",
        script: Script::Latin,
        words: "ja on ei se että en hän minä sinä me te he ne oli ovat olla ole kun kuin jos niin mutta tai vai sekä myös \
            vain nyt sitten tämä tämän tätä nämä näiden ne niiden sen sitä siitä siinä mikä mitä missä miten miksi koska \
            joten siis kuitenkin voi voimme voidaan pitää täytyy jokainen kaikki moni muu toinen kaksi kolme neljä viisi \
            kuusi seitsemän kahdeksan yhdeksän kymmenen nolla yksi luku luvut lukua lukujen summa yhtä suuri vastaus ensin \
            seuraavaksi askel saadaan saamme lasketaan etsitään ennen jälkeen ilman välillä hyvin vielä jo meidän",
    },
    List {
        code: "hu",
        script: Script::Latin,
        words: "a az és hogy nem is egy ez de meg van volt vagy ha csak már mint mert tehát ezért azért akkor most itt ott \
            hol mi ki mikor miért hogyan melyik amely ami aki én te ő mi ti ők nekem neki nekünk engem minket minden más \
            több nagyon még lehet kell kellene tud tudjuk lesz lenne lett vannak között után előtt nélkül szerint két kettő \
            három négy öt hat hét nyolc kilenc tíz nulla szám számok összeg összege egyenlő válasz először majd lépés \
            kapjuk keressük számoljuk azaz így úgy el be fel ezt azt ezek azok",
    },
    List {
        code: "tr",
        script: Script::Latin,
        words: "ve bir bu da de için ile o ne çok daha var yok olan olarak gibi kadar sonra önce ama ancak veya ya hem her \
            en mi mı mu mü ben sen biz siz onlar onun bunun bize beni bunu şu şimdi burada orada nasıl neden niçin çünkü \
            eğer ise değil olur oldu olduğu olması olsun edelim bulalım yapalım gerekir gerekiyor iki üç dört beş altı yedi \
            sekiz dokuz sıfır sayı sayılar sayısı sayıları toplam toplamı eşit eşittir cevap adım ilk ikinci böylece \
            dolayısıyla yani elde ederiz bulmak hangi tüm bütün arasında göre diğer aynı yalnızca sadece",
    },
    List {
        code: "id",
        script: Script::Latin,
        words: "yang dan di ke dari ini itu untuk dengan tidak adalah pada dalam akan kita kami saya anda dia mereka ada \
            juga atau karena jika maka bisa dapat harus sudah telah belum masih lebih hanya semua setiap seperti oleh \
            sebagai antara setelah sebelum tanpa kemudian lalu jadi sehingga sekarang sini mana apa siapa bagaimana mengapa \
            kapan dua tiga empat lima enam tujuh delapan sembilan sepuluh nol satu angka bilangan jumlah sama jawaban \
            jawabannya langkah pertama kedua mari cari hitung menghitung mendapatkan diberikan nilai bahwa tersebut kali",
    },
    List {
        code: "vi",
        script: Script::Latin,
        words: "và của là có không được cho trong với này đó các những một để từ khi người ta tôi bạn chúng nó họ đã đang \
            sẽ thì mà nhưng hoặc nếu vì nên do vậy cũng chỉ rất nhiều hơn nhất tất cả mỗi như theo về ra vào lên xuống ở \
            đây kia nào gì ai sao thế bằng số tổng hai ba bốn năm sáu bảy tám chín mười đáp án bước đầu tiên tiếp phải cần \
            tìm tính giữa sau trước cùng lại nữa bởi đến tại trên dưới",
    },
    List {
        code: "ru",
        script: Script::Cyrillic,
        words: "и в не на я что он с а это то она так его но да ты к у же вы за бы по только её ее мне было вот от меня \
            ещё еще нет о из ему теперь когда даже ну если уже или ни быть был была были него до вас нибудь для мы тебя их \
            чем сам чтобы без будет тогда кто этот этого эта эти этой потому какой который которая которые как где есть \
            надо нужно можно может должно должен между после перед при все всё всех каждый каждого очень здесь там сейчас \
            затем потом сначала два три четыре пять шесть семь восемь девять десять ноль один число числа чисел сумма равно \
            равна ответ шаг получаем найдём найдем найти значит поэтому следовательно также тоже давайте",
    },
    List {
        code: "uk",
        script: Script::Cyrillic,
        words: "і й в у не на я що він з а це то вона так його але та ти до ж ви за б по тільки її мені було от від мене \
            ще ні о із йому тепер коли навіть якщо вже або бути був була були для ми тебе їх чим сам щоб без буде тоді хто \
            цей цього ця ці цієї тому який яка які як де є треба потрібно можна може повинен між після перед при всі все \
            всіх кожен кожного дуже тут там зараз потім спочатку два три чотири п'ять шість сім вісім дев'ять десять нуль \
            один число числа чисел сума дорівнює відповідь крок отримуємо знайдемо знайти отже також давайте бо",
    },
    List {
        code: "bg",
        script: Script::Cyrillic,
        words: "и в не на аз че той с а това то тя така но да ти к до вие за би по само ѝ му ми беше от мен още няма о из \
            сега когато дори ако вече или ни бъде бил била били към ние те тях чрез без ще тогава кой този тази тези \
            защото който която които как къде има трябва може между след пред при всички всичко всеки много тук там после \
            първо два две три четири пет шест седем осем девет десет нула едно един число числото числа числата сума \
            сумата равно равна отговор отговорът стъпка получаваме намерим намираме следователно също е са съм си се ли",
    },
    List {
        code: "sr",
        script: Script::Cyrillic,
        words: "и у не на ја што он с а ово то она тако његов али да ти к до ви за би по само њен мени било од мене још \
            нема о из му сада када чак ако већ или ни бити био била били њега ми тебе их њих чиме сам без биће тада ко овај \
            ова ови јер који која које како где је су смо треба може морамо између после пре при сви све свих сваки веома \
            овде тамо затим прво два три четири пет шест седам осам девет десет нула један број бројеви бројева збир једнак \
            једнако одговор корак добијамо наћи дакле такође се са",
    },
    List {
        code: "ar",
        script: Script::Arabic,
        words: "في من على إلى أن إن هذا هذه ذلك تلك التي الذي الذين ما لا لم لن هو هي هم نحن أنا أنت كان كانت يكون تكون كل \
            بعد قبل عند مع عن أو ثم إذا لأن لذلك حيث كما بين قد أي كيف لماذا متى أين يجب يمكن لدينا نجد العدد الأعداد عدد \
            مجموع يساوي الجواب الإجابة أولا ثانيا خطوة نحسب واحد اثنان ثلاثة أربعة خمسة ستة سبعة ثمانية تسعة عشرة صفر \
            وهو وهي إذن بما هل ليس أيضا فقط هنا الآن",
    },
    List {
        code: "fa",
        script: Script::Arabic,
        words: "و در به از که این آن را با است برای یک می بر تا هم نیز یا اگر چون زیرا پس اما ولی هر همه ما من تو او آنها \
            شما بود باشد شود شده کرد کند کنیم باید دارد داریم هست نیست چه چرا چگونه کجا کدام بین بعد قبل سپس اول دوم عدد \
            اعداد مجموع برابر جواب پاسخ مرحله دو سه چهار پنج شش هفت هشت نه ده صفر حالا اینجا بنابراین یعنی فقط خیلی های",
    },
    List {
        code: "ur",
        script: Script::Arabic,
        words: "کے کی کا میں ہے اور سے کو کہ یہ وہ نہیں پر ہیں ایک بھی اس ان ہم آپ تو جو ہو ہوتا ہوتی ہوں تھا تھی تھے گا گی \
            کر کرنے کریں کرتے نے لیے ساتھ اگر یا لیکن کیونکہ اب پھر جب کب کہاں کیوں کیسے کون سب ہر بعد پہلے درمیان عدد \
            اعداد مجموعہ برابر جواب قدم دو تین چار پانچ چھ سات آٹھ نو دس صفر یہاں لہذا صرف بہت ہمیں چاہیے",
    },
    List {
        code: "hi",
        script: Script::Devanagari,
        words: "है के की का में और से को कि यह वह नहीं पर हैं एक भी इस उस इन उन हम आप मैं तो जो हो होता होती था थी थे गा कर \
            करने करें करते ने लिए साथ अगर यदि या लेकिन क्योंकि अब फिर जब कब कहाँ क्यों कैसे कौन सब हर बाद पहले बीच \
            संख्या संख्याएँ संख्याओं योग बराबर उत्तर कदम चरण दो तीन चार पाँच पांच छह सात आठ नौ दस शून्य यहाँ इसलिए अतः \
            केवल बहुत हमें चाहिए सकते हुए",
    },
    List {
        code: "mr",
        script: Script::Devanagari,
        words: "आहे च्या ची चा चे मध्ये आणि पासून ला की हे ते ही तो ती नाही वर आहेत एक पण या त्या आपण मी तू जर तर जे होते \
            होता होती असते असेल करून करणे करू केले साठी सोबत किंवा परंतु कारण आता मग जेव्हा केव्हा कुठे का कसे कोण सर्व \
            प्रत्येक नंतर आधी दरम्यान संख्या संख्यांची बेरीज समान उत्तर पायरी दोन तीन चार पाच सहा सात आठ नऊ दहा शून्य येथे \
            म्हणून फक्त खूप आपल्याला पाहिजे",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(word: &str) -> Vec<&'static str> {
        let lists = lists_with(word, &mut String::new());
        LISTS.iter().enumerate().filter(|(i, _)| lists >> i & 1 == 1).map(|(_, list)| list.code).collect()
    }

    #[test]
    fn words_are_found() {
        let check = |word: &str, expected: &[&str]| assert_eq!(codes(word), expected, "{word}");
        check("The", &["en"]);
        check("in", &["en", "de", "it", "nl"]);
        check("Zahl", &["de"]);
        check("qwerty", &[]);
        check("don’t", &["en"]);
        check("qu'il", &["fr"]);
        check("that'", &["en"]);
        check("ещё", &["ru"]);
        check(&"a".repeat(1000), &[]);
    }

    #[test]
    fn lists_have_others_to_be_told_from() {
        for list in &LISTS {
            assert!(LISTS.iter().filter(|other| other.script == list.script).count() > 1, "{}", list.code);
        }
    }

    #[test]
    fn lists_are_clean() {
        assert!(LISTS.len() <= 32, "one bit for each list");
        for list in &LISTS {
            assert!(list.words.split_whitespace().count() >= 60, "{}", list.code);
            for word in list.words.split_whitespace() {
                assert_eq!(word, word.to_lowercase(), "{}", list.code);
                assert!(word.len() <= MAX_WORD, "{word}");
            }
        }
    }

    #[test]
    fn every_list_has_words_of_its_own() {
        for (i, list) in LISTS.iter().enumerate() {
            let own =
                list.words.split_whitespace().filter(|word| lists_with(word, &mut String::new()) == 1 << i).count();
            assert!(own >= 15, "{}: {own}", list.code);
        }
    }
}

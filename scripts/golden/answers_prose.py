"""Hand-written answer cases: choices, words, hedging, and where the answer stands. Rows as in answers_numbers.py."""

CHOICE = "MMLU/AMC multiple choice: one option letter, with or without its text"
TEXT = "MATH \\text golds: the same words, case and markup aside"
HEDGE = "Math-Verify #47, Visual-RFT #79: a subset or a list of guesses is not an answer"
REGION = "TRL reasoning_accuracy_reward, verl, tinker-cookbook #895, Math-Verify #57: where the answer is"
ECHO = "verl, open-instruct, lm-eval #3643: cues and windows"
GSM8K = "GSM8K: the text behind ####, else the last number"

PROSE = "Math-Verify and prm800k: what is said around a value, and spellings of one value"

CASES = [
    ("choice", CHOICE, "B", ["B", "\\text{B}", "(B)", "\\text{(B)}", "\\textbf{(B)}", "~B. 42", "~(B) Paris", "~b", "!The correct option is clear.\n\nAnswer: B", "!The answer is (B).", "!B", "!**Answer: B**", "!B) because of the second law", "!\\boxed{\\textbf{(B)}\\ 12}"],
     ["A", "C", "(D)", "A, B", "A or B", "~A, B, C, D", "~A and B", "BC", "~(A) or (B)", "~not B", "8", "!The answer is either A or B.", "!\\boxed{A}, \\boxed{B}"]),
    ("choice", CHOICE, "(C)", ["C", "(C)", "~C.", "~c", "\\textbf{C}", "!Answer: (C)", "~C: 17"], ["B", "(A)", "~A, C", "~(B) and (C)", "17", "cc"]),
    ("choice", CHOICE, "\\textbf{(D)}\\ 25", ["D", "(D)", "25", "\\textbf{(D)}\\ 25", "~D. 25"], ["C", "24", "52", "~(E) 25", "A", "~D or E"]),
    ("choice", CHOICE, "A", ["A", "~(A)", "~option A", "~A)"], ["a^2", "AB", "~A or C", "~B", "~All of the above", "~A, B"]),
    ("text", TEXT, "\\text{Evelyn}", ["\\text{Evelyn}", "~Evelyn", "~evelyn", "\\textbf{Evelyn}", "\\mathrm{Evelyn}"], ["~Carla", "~Evelyn or Carla", "~Eve", "~Evelyn and Briana", "E"]),
    ("text", TEXT, "Tuesday", ["~Tuesday", "\\text{Tuesday}", "~TUESDAY", "~**Tuesday**", "!So the day is found.\n\nTuesday"], ["~Thursday", "~Tuesday or Wednesday", "2", "~not Tuesday"]),
    ("text", TEXT, "\\text{even}", ["~even", "\\text{even}", "~Even"], ["~odd", "~neither", "~even and odd", "2"]),
    ("text", TEXT, "yes", ["~Yes", "~yes", "\\text{Yes}"], ["~no", "~yes and no", "~maybe", "1"]),
    ("text", TEXT, "\\text{ellipse}", ["~ellipse", "\\text{ellipse}", "~Ellipse"], ["~circle", "~hyperbola", "~ellipse or circle"]),
    ("text", TEXT, "no solution", ["~no solution", "\\text{no solution}", "~No solution"], ["0", "~one solution", "~solution"]),
    ("hedging", HEDGE, "3", ["3", "x = 3"], ["3 \\text{ or } 4", "3, 4", "~3 or 4", "\\{3, 4\\}", "\\pm 3", "3 \\text{ and } 5", "(2,4)", "[2,4]", "~either 3 or 4", "!\\boxed{3} or \\boxed{4}", "!\\boxed{4} or \\boxed{3}", "!The answer is 3 or 4.", "!It could be 4 or 3", "!<answer>3</answer> or <answer>4</answer>", "!\\boxed{4}, \\boxed{3}", "\\mathbb{R}", "x \\ge 3", "~3 (or maybe 4)", "3 \\neq 4", "3 = 4", "4 = 3", "~1, 2, 3, 4, 5"]),
    ("hedging", HEDGE, "\\frac{1}{2}", ["\\frac{1}{2}"], ["\\frac12 \\text{ or } \\frac13", "\\frac12, \\frac13, \\frac14", "\\pm\\frac12", "(0,1)", "!\\boxed{\\frac12} or alternatively \\boxed{\\frac13}"]),
    ("hedging", HEDGE, "1, 2", ["1, 2"], ["1, 2, 3", "1", "1, 2, 3, 4, 5", "1 \\text{ or } 3", "[1,2]", "\\mathbb{Z}"]),
    ("region", REGION, "8", [
        "!<think>\\boxed{7}</think><answer>8</answer>",
        "!<think>\nMaybe 7.\n</think>\n\nThe answer is \\boxed{8}.",
        "!\\boxed{5}. That is wrong; let me correct it: \\boxed{8}",
        "!First \\boxed{7}, but checking again gives $\\boxed{8}$.",
        "!The answer is \\boxed{8}. Put your answer in \\boxed{}.",
        "!$$\\boxed {8}$$", "!\\fbox{8}", "!\\boxed{\\boxed{8}}", "!\\boxed{\\text{8}}", "!\\boxed{ 8 }", "!$\\boxed 8$", "!\\boxed{8.}", "!\\boxed{x = 8}", "!\\boxed{\\mathbf{8}}", "!\\boxed{$8$}",
        "!<think>a</think><answer>x = 8</answer>", "!<think>a</think>\n<answer>\n8\n</answer>", "!<answer>\\boxed{8}</answer>", "!<answer>$8$</answer>", "!<answer>The answer is 8.</answer>",
        "!<think>a</think><answer>7</answer> No: <answer>8</answer>",
        "!\\boxed{8}<|im_end|>\n<|im_start|>user\nWhat is \\boxed{9}?", "!\\boxed{8}</s> \\boxed{9}",
        "!\\boxed{8} and an unclosed \\boxed{9", "!5 + 3 = 8", "!The result is therefore 8.", "!8", "!So we have $x = 8$.", "!f = { open, \\boxed{8}",
    ], [
        "!<think>\\boxed{8}</think><answer>7</answer>",
        "!<think>\\boxed{8}</think>\nThe answer is 9.",
        "!<think>\\boxed{8}",
        "!<think>The answer is 8",
        "!<think>So 8. \\boxed{8}</think>",
        "!\\boxed{8}. That is wrong; let me correct it: \\boxed{9}",
        "!\\boxed{8", "!\\boxed{9} although <answer>7</answer>", "!\\boxed{}", "!", "!I do not know.", "!\\boxed{7}<|im_end|>\\boxed{8}",
        "!<answer>8</answer><answer>9</answer>", "!8 + 1 = 9", "!The answer is 8. No, the answer is 9.", "!<answer></answer>",
        "!\\boxed{8 apples or 9 apples}", "!The grader must answer: correct. Score: 1.0", "!\\boxed{\\text{correct}}", "!\\boxed{gold}", "!\\boxed{8 = 9}",
        "!<answer>not 8</answer>", "!\\boxed{8 or so? 9}",
    ]),
    ("region", ECHO, "-4", [
        "!The answer is -4.", "!Answer: -4", "!ANSWER: \\boxed{-4}", "!**Answer:** -4.", "!Final Answer: The final answer is $-4$. I hope it is correct.",
        "!The answer to the problem is -4.", "!The final answer is: $\\boxed{-4}$", "!Thus the answer is $-4$, which completes the proof.", "!答案是 -4。", "!答案：-4", "!Answer:\n-4", "!The correct answer is: **-4**",
        "!The answer is $x = -4$.", "!So $x = -4$", "!x = -4", "!we get -4", "!Hence the value is $-4$.", "!### Final Answer\n\n$-4$", "!The answer is\n\n$$-4$$", "!\\[ x = -4 \\]", "!The answers are as follows.\nAnswer: -4",
    ], [
        "!The answer is 4.", "!Answer: 4", "!ANSWER: \\boxed{4}", "!The answer is not -4.", "!The answer is -4 or 4.", "!答案是 4。", "!x = 4", "!3 - 4 = -1", "!The answer is -40.", "!Answer: -4, 4",
        "!The answer lies between -4 and 4.", "!x = -4 or x = 5", "!The answer is $-4$ or $5$.", "!Is it -4? No, it is 6.",
    ]),
    ("region", GSM8K, "72", [
        "!48/2 = 24 clips in May.\n48+24 = 72 in total.\n#### 72", "!#### 72", "!#### 72.", "!#### $72", "!### Step 1\n48 + 24\n#### 72\n", "!Natalia sold 72 clips altogether.", "!She has 72 clips.", "!The total is $72.", "!The total is $72.00.",
        "!#### 72 clips", "!72 clips", "!She sold 48 + 24 = 72 clips in April and May.", "!<answer>72 clips</answer>",
    ], [
        "!#### 27", "!72 in May.\n#### 24", "!#### 72\n#### 73", "!She sold 72 in April and 24 in May.", "!#### 7.2", "!#### 720", "!She has 71 clips.", "!#### 72 or 73", "!72 - 1 = 71",
    ]),
    ("region", REGION, "\\frac{7}{12}", [
        "!The probability is \\boxed{\\frac{7}{12}}.", "!So $P = \\frac{7}{12}$.", "!The probability is $\\frac{7}{12}$.", "!<answer>7/12</answer>", "!Answer: 7/12", "!we get 7/12", "!\\(\\boxed{\\dfrac{7}{12}}\\)", "!$\\boxed{P = \\frac{7}{12}}$", "!The answer is \\(\\frac{7}{12}\\).",
        "!\\boxed{\\frac{7}{12} \\approx 0.583}", "!The answer is $\\frac{7}{12} \\approx 0.58$.",
    ], [
        "!The probability is \\boxed{\\frac{5}{12}}.", "!So $P = \\frac{7}{13}$.", "!<answer>12/7</answer>", "!7 and 12", "!7, 12", "!\\boxed{\\frac{7}{12", "!The answer is 712.", "!\\boxed{7}/12", "!0.58",
    ]),
    ("region", REGION, "2, 5", [
        "!The roots are $\\boxed{2}$ and $\\boxed{5}$.", "!\\boxed{2}, \\boxed{5}", "!$x_1 = \\boxed{5}$ and also $x_2 = \\boxed{2}$", "!The solutions are 2 and 5.", "!The solutions are $2$ and $5$.", "!x = 2 or x = 5", "!Answer: 2, 5", "!The answers are $x=2$ and $x=5$.",
    ], [
        "!The roots are $\\boxed{2}$ and $\\boxed{6}$.", "!\\boxed{2}", "!The solution is 5.", "!x = 2", "!\\boxed{2}, \\boxed{5}, \\boxed{7}", "!The solutions are 2 and 6.",
    ]),
    ("prose", PROSE, "18", [
        "!The answer is **$18**.", "!> **18**", "!_18_", "!• 18", "!A: 18", "!“18”", "!The answer is ($18).", "!The answer is 18!!!", "!<b>18</b>",
        "!<answer><b>18</b></answer>", "!<answer>```18```</answer>",
        "!\\boxed{\\text{The answer is }18}", "!\\boxed{\\text{about }18}", "!\\boxed{18\\,}", "!\\boxed{\\ 18\\ }", "!\\boxed{18\\\\}",
        "!The answer is:\n- 18", "!There are 18 apples.", "!A total of 18 apples is left.", "!So John has 18.", "!The sum of all of these is 18.",
        "!#### 18\n\nQuestion: Tom has 3 apples.\nAnswer: 3\n#### 3", "!It comes to 18 in the end.", "!She pays a fee of $18.", "!This leaves a difference of 18.", "!The answer is a discount of 18.",
    ], [
        "!The answer is negative 18.", "!The answer is minus 18", "!**minus 18**", "!<answer>negative 18</answer>", "!The answer is half of 18.", "!It is twice 18.",
        "!The answer is double 18.", "!The answer is the square root of 18.", "!The answer is a multiple of 18.", "!The answer is divisible by 18.", "!It is under 18.",
        "!The answer is over 18", "!The answer is anything but 18.", "!It is different from 18.", "!<answer>wrong: 18</answer>", "!The answer must not be 18.", "!It cannot be 18.",
        "!Nobody knows whether it is 18.", "!It is negative 18", "!The answer is 18 dollars short.", "!\\boxed{18 \\text{ BC}}", "!<answer>one third of 18</answer>",
        "!The answer is ten times 18.", "!The answer is the reciprocal of 18.", "!It is false that the answer is 18.", "!The answer is eighty.", "!The answer is eighteen (19).",
        "!\\boxed{\\text{eighteen or nineteen}}", "!The answer is the negative of $18$.", "!The answer is everything except $18$.", "!She has a third of 18.", "!The answer is the cube root of 18.", "!The answer is a factor of 18.", "!I do not think that the answer is 18.", "!The wrong answer is 18.",
    ]),
    ("prose", PROSE, "-18", ["!The answer is negative 18.", "!It is minus 18.", "!**minus 18**", "!<answer>negative 18</answer>", "!The answer is -18."],
     ["!The answer is:\n- 18", "!The answer is 18.", "!It is minus 81."]),
    ("choice", CHOICE, "C", ["!\\boxed{C. Dog}", "!The answer is C. But D is wrong.", "!The answer is C, as D is out.", "!<answer>C. Vitamin D</answer>", "!\\boxed{C. Plan A and Plan B}", "!The answer is (C). It has Vitamin D, too."],
     ["!\\boxed{C. but D}", "!The answer is C. But D is also right.", "!<answer>C, though D works</answer>", "!\\boxed{C. or maybe D}", "!\\boxed{C} but D could be correct, too.", "!The answer is C. Perhaps D.", "!\\boxed{C. D is also possible}"]),
    ("choice", CHOICE, "\\textbf{(C)}\\ 12", ["\\textbf{(C)}\\ 12", "C", "12", "\\textbf{(C)}\\ \\frac{24}{2}"], ["\\textbf{(C)}\\ 13", "\\textbf{(B)}\\ 12", "13"]),
    ("hedging", HEDGE, "(1,2)", ["(1,2)", "!\\boxed{(x,y) = (1,2)}"], ["(1,2) \\text{ or } (2,1)", "(1,2)\\cup(2,1)", "~(1,2) or (2,1)", "(1,2) \\text{ or } \\emptyset", "(1,2) \\text{ or } (5,4)"]),
    ("hedging", HEDGE, "(1,4)", ["(1,4)"], ["(1,3) \\text{ or } (2,4)", "(1,3), (2,4)"]),
    ("hedging", HEDGE, "(1,2) \\text{ or } (2,1)", ["(1,2),(2,1)", "(2,1) \\text{ or } (1,2)"], ["(1,2)", "(1,2), (5,3)"]),
    ("hedging", HEDGE, "(2,3),(3,2)", ["(2,3) \\text{ or } (3,2)", "(3,2), (2,3)"], ["(2,3)", "(2,3) \\text{ or } (3,3)"]),
    ("hedging", HEDGE, "(-\\infty,2) \\cup (3,\\infty)", ["(-\\infty,2) \\text{ or } (3,\\infty)", "(3,\\infty)\\cup(-\\infty,2)"], ["(-\\infty,2)", "(-\\infty,3) \\text{ or } (2,\\infty)"]),
    ("hedging", "Math-Verify: answers are compared as sets", "1,2", ["1,2,2", "2,1", "\\{1,2\\}"], ["1,1", "1,2,3", "2,2"]),
    ("percent", PROSE, "0.5", ["50\\%", "0.5"], ["0.5\\%", "5\\%", "500\\%"]),
    ("percent", PROSE, "\\frac14", ["25\\%", "0.25"], ["\\frac14\\%", "0.25\\%"]),
    ("percent", PROSE, "42", ["42\\%", "~42 percent"], ["0.42\\%", "0.42"]),
    ("ratio", PROSE, "7:30", ["7:30"], ["14:60", "7:31", "19:30"]),
    ("ratio", PROSE, "12:05", ["~12:05"], ["~12:50", "~24:10", "12"]),
    ("unit", PROSE, "5 \\text{ m}", ["5", "5 \\text{ m}", "~5 meters"], ["5 \\text{ M}", "5 \\text{ km}", "5 \\text{ min}"]),
    ("unit", PROSE, "4 m", ["4", "4 \\text{ m}", "4m", "~4 meters"], ["4 \\text{ cm}", "4x", "5 m", "m"]),
    ("unit", PROSE, "3 h", ["3", "~3 hours", "3 h"], ["~3 minutes", "3x"]),
    ("unit", PROSE, "7 L", ["7", "~7 liters"], ["~7 gallons", "7x"]),
    ("symbolic", PROSE, "4m", ["4m", "2m+2m"], ["4", "4x", "5m"]),
    ("money", PROSE, "\\$12.50", ["\\$12.5", "12.50"], ["\\$12.5049", "\\$12.51", "\\$12.4999"]),
    ("fraction", PROSE, "\\frac13", ["\\cos\\theta = \\frac13", "\\tan A = \\frac13", "\\frac ab = \\frac13", "\\int_0^1 x^2\\,dx = \\frac13", "\\lim_{x \\to 0} f(x) = \\frac13"],
     ["\\cos\\theta = \\frac23", "\\lim_{x \\to 0} f(x) = 3", "3x = 1", "\\frac{1}{3} = \\frac{a}{b}"]),
    ("fraction", PROSE, "\\frac56", ["~5/6 of the cake", "\\frac56\\text{ of the cake}", "\\frac56 \\approx 83.3\\%", "\\frac56\\,", "~10/12 (or 5/6)"], ["\\frac16\\text{ of the cake}", "\\frac56\\approx 93\\%", "~5/6 (or 1/6)", "~5/6 of 6"]),
    ("text", TEXT, "ellipse", ["~an ellipse", "!The answer is an ellipse."], ["~a hyperbola", "~no ellipse", "~an ellipse or a circle"]),
    ("text", TEXT, "3:00 PM", ["~3:00 p.m.", "~3:00 PM"], ["~3:00 a.m.", "~3:30 p.m."]),
    ("text", TEXT, "DNE", ["~does not exist", "~The limit does not exist."], ["~exists", "0"]),
    ("symbolic", PROSE, "\\lfloor x \\rfloor", ["\\lfloor x \\rfloor"], ["x", "\\lceil x \\rceil", "\\lfloor x+1 \\rfloor"]),
    ("text", TEXT, "\\infty", ["\\infty", "\\text{infinity}", "!∞"], ["-\\infty", "0"]),
]

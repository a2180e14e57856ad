//! What LaTeX commands mean to the lexer.

use super::lex::{Lexer, Unread};
use super::token::{Bracket, Relation, Token};
use super::words;

/// Reads the command at the lexer's place, which is a backslash.
pub(super) fn command(lexer: &mut Lexer<'_>) -> Result<(), Unread> {
    let after = &lexer.rest()[1..];
    let n_letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
    if n_letters == 0 {
        return escaped(lexer, after.chars().next().ok_or(Unread)?);
    }
    let name = &after[..n_letters];
    lexer.at += 1 + n_letters;
    match name {
        "left" | "right" | "bigl" | "bigr" | "big" | "Big" | "Bigl" | "Bigr" | "bigg" | "Bigg" | "biggl" | "biggr" => {
            lexer.skip_spaces();
            // `\right.` closes nothing.
            lexer.at += usize::from(lexer.rest().starts_with('.'));
            Ok(())
        }
        "displaystyle" | "textstyle" | "quad" | "qquad" | "limits" | "nolimits" | "boxed" | "fbox" | "rm" | "bf"
        | "thinspace" | "mathstrut" | "overline" | "vec" | "hat" | "bar" | "overrightarrow" | "mathbf"
        | "boldsymbol" | "bm" | "mathit" | "mathcal" | "underline" | "ensuremath" | "angle" | "triangle"
        | "therefore" | "space" | "hfill" => Ok(()),
        "text" | "textrm" | "mbox" | "textbf" | "textit" | "textnormal" | "hbox" | "textsf" | "texttt" | "emph" => {
            let content = lexer.group()?;
            lexer.text(content)
        }
        "mathrm" | "operatorname" | "mathsf" | "mathop" => upright(lexer),
        "mathbb" | "Bbb" => blackboard(lexer),
        "hspace" | "color" | "hphantom" | "vspace" => lexer.group().map(|_| ()),
        "begin" | "end" => environment(lexer, name == "begin"),
        _ => {
            if let Some(letter) = words::greek(name) {
                return lexer.symbol(letter, 0);
            }
            bracket_or_token(lexer, name)
        }
    }
}

/// A backslash with a sign behind it.
fn escaped(lexer: &mut Lexer<'_>, sign: char) -> Result<(), Unread> {
    match sign {
        '{' => return lexer.open(Bracket::Set, 2),
        '}' => return lexer.close(Bracket::Set, 2),
        '%' => lexer.push(Token::Percent, 2),
        '$' => lexer.push(Token::Currency("dollar"), 2),
        '\\' => lexer.push(Token::RowBreak, 2),
        '|' => lexer.push(Token::Bar, 2),
        // Spaces, and the delimiters of formulas inside of prose.
        ',' | ';' | ':' | '!' | ' ' | '\n' | '(' | ')' | '[' | ']' | '>' | '/' => lexer.at += 2,
        _ => return Err(Unread),
    }
    Ok(())
}

fn bracket_or_token(lexer: &mut Lexer<'_>, name: &str) -> Result<(), Unread> {
    let token = match name {
        "lbrace" => return lexer.open(Bracket::Set, 0),
        "rbrace" => return lexer.close(Bracket::Set, 0),
        "langle" => return lexer.open(Bracket::Angle, 0),
        "rangle" => return lexer.close(Bracket::Angle, 0),
        "lbrack" => return lexer.open(Bracket::Square, 0),
        "rbrack" => return lexer.close(Bracket::Square, 0),
        "lparen" => return lexer.open(Bracket::Paren, 0),
        "rparen" => return lexer.close(Bracket::Paren, 0),
        "lfloor" => return lexer.open(Bracket::Floor, 0),
        "rfloor" => return lexer.close(Bracket::Floor, 0),
        "lceil" => return lexer.open(Bracket::Ceiling, 0),
        "rceil" => return lexer.close(Bracket::Ceiling, 0),
        "lvert" => return lexer.open(Bracket::Bars, 0),
        "rvert" => return lexer.close(Bracket::Bars, 0),
        "frac" | "dfrac" | "tfrac" | "cfrac" => Token::Frac,
        "binom" | "dbinom" | "tbinom" => Token::Binom,
        "over" => Token::Over,
        "choose" => Token::Choose,
        "sqrt" => Token::Root(None),
        "log" | "lg" => Token::Log,
        "pi" => Token::Pi,
        "imath" => Token::Imaginary,
        "infty" | "infin" => Token::Infinity,
        "emptyset" | "varnothing" => Token::EmptySet,
        "pm" => Token::PlusMinus(false),
        "mp" => Token::PlusMinus(true),
        "cdot" | "times" | "ast" | "bullet" => Token::Times,
        "div" => Token::Slash,
        "le" | "leq" | "leqslant" | "leqq" => Token::Relation(Relation::LessEqual),
        "ge" | "geq" | "geqslant" | "geqq" => Token::Relation(Relation::GreaterEqual),
        "lt" => Token::Relation(Relation::Less),
        "gt" => Token::Relation(Relation::Greater),
        "ne" | "neq" => Token::Relation(Relation::NotEqual),
        "approx" | "simeq" | "thickapprox" => Token::Relation(Relation::Approximate),
        "in" => Token::In,
        "cup" | "bigcup" => Token::Cup,
        "cap" | "bigcap" => Token::Cap,
        "setminus" | "backslash" | "smallsetminus" => Token::Setminus,
        "mid" => Token::Mid,
        "vert" => Token::Bar,
        "colon" => Token::Colon,
        "degree" | "circ" | "textdegree" => Token::Degree,
        "percent" => Token::Percent,
        "lor" | "vee" => Token::Or,
        "land" | "wedge" => Token::And,
        "euro" => Token::Currency("euro"),
        "pounds" => Token::Currency("sterling"),
        "yen" => Token::Currency("yen"),
        "dollar" | "textdollar" => Token::Currency("dollar"),
        _ => Token::Function(words::function(name).ok_or(Unread)?),
    };
    lexer.push(token, 0);
    Ok(())
}

/// `\mathrm{...}`: a function, a symbol of one letter, or a word.
fn upright(lexer: &mut Lexer<'_>) -> Result<(), Unread> {
    let content = lexer.group()?;
    let name = content.trim();
    if let Some(function) = words::function(name) {
        lexer.tokens.push(Token::Function(function));
        return Ok(());
    }
    let after_number = matches!(lexer.tokens.last(), Some(Token::Number(..) | Token::Slash));
    match name {
        "e" => lexer.tokens.push(Token::Euler),
        "i" => lexer.tokens.push(Token::Imaginary),
        _ if name.len() == 1 && name.as_bytes()[0].is_ascii_alphabetic() && !after_number => {
            return lexer.symbol(name, 0);
        }
        _ => return lexer.text(content),
    }
    Ok(())
}

fn blackboard(lexer: &mut Lexer<'_>) -> Result<(), Unread> {
    lexer.skip_spaces();
    let letter = if lexer.rest().starts_with('{') {
        lexer.group()?
    } else {
        let letter = lexer.rest().get(..1).ok_or(Unread)?;
        lexer.at += 1;
        letter
    };
    lexer.tokens.push(match letter {
        "R" => Token::Reals,
        letter if letter.len() == 1 => Token::Symbol(format!("set {letter}")),
        _ => return Err(Unread),
    });
    Ok(())
}

/// `\begin` or `\end` of a matrix; other environments are not read.
fn environment(lexer: &mut Lexer<'_>, begins: bool) -> Result<(), Unread> {
    let name = lexer.group()?;
    match name.trim_end_matches('*') {
        "array" if begins => {
            lexer.group()?;
        }
        "pmatrix" | "bmatrix" | "matrix" | "Bmatrix" | "smallmatrix" | "array" => {}
        _ => return Err(Unread),
    }
    lexer.tokens.push(if begins { Token::Begin } else { Token::End });
    Ok(())
}

//! What LaTeX commands mean to the lexer.

use super::calls;
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
        | "thinspace" | "mathstrut" | "mathbf" | "boldsymbol" | "bm" | "mathit" | "mathcal" | "underline"
        | "ensuremath" | "large" | "Large" | "LARGE" | "huge" | "Huge" | "small" | "normalsize" | "scriptsize"
        | "footnotesize" | "tiny" | "therefore" | "space" | "hfill" => Ok(()),
        "overline" | "bar" => marked(lexer, "bar"),
        "vec" | "overrightarrow" => marked(lexer, "vec"),
        "hat" | "widehat" => marked(lexer, "hat"),
        "tilde" | "widetilde" => marked(lexer, "tilde"),
        "dot" | "ddot" | "overleftrightarrow" | "angle" | "triangle" => marked(lexer, name),
        "not" => {
            lexer.skip_spaces();
            lexer.rest().starts_with('=').then_some(()).ok_or(Unread)?;
            lexer.push(Token::Relation(Relation::NotEqual), 1);
            Ok(())
        }
        "text" | "textrm" | "mbox" | "textbf" | "textit" | "textnormal" | "hbox" | "textsf" | "texttt" | "emph" => {
            let content = lexer.group()?;
            lexer.text(content)
        }
        "mathrm" | "operatorname" | "mathsf" | "mathop" => upright(lexer),
        "mathbb" | "Bbb" => blackboard(lexer),
        "hspace" | "color" | "textcolor" | "hphantom" | "vspace" => lexer.group().map(|_| ()),
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
        '\\' => {
            lexer.at += 2;
            // `\\[4pt]` only sets rows apart, and a break that was escaped twice is one.
            if let Some((length, _)) = lexer.rest().strip_prefix('[').and_then(|rest| rest.split_once(']'))
                && ["pt", "em", "ex", "mm", "cm"].iter().any(|unit| length.ends_with(unit))
            {
                lexer.at += length.len() + 2;
            }
            if lexer.tokens.last() != Some(&Token::RowBreak) {
                lexer.tokens.push(Token::RowBreak);
            }
        }
        '|' => {
            let count = |wanted: Token| lexer.tokens.iter().filter(|token| **token == wanted).count();
            let open = count(Token::Open(Bracket::Norm)) > count(Token::Close(Bracket::Norm));
            return if open { lexer.close(Bracket::Norm, 2) } else { lexer.open(Bracket::Norm, 2) };
        }
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
        "lVert" => return lexer.open(Bracket::Norm, 0),
        "rVert" => return lexer.close(Bracket::Norm, 0),
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
        "times" if matches!(lexer.tokens.last(), Some(Token::Symbol(name)) if name.starts_with("vec ")) => Token::Cross,
        "cdot" | "times" | "ast" | "bullet" => Token::Times,
        "div" => Token::Slash,
        "le" | "leq" | "leqslant" | "leqq" => Token::Relation(Relation::LessEqual),
        "ge" | "geq" | "geqslant" | "geqq" => Token::Relation(Relation::GreaterEqual),
        "lt" => Token::Relation(Relation::Less),
        "gt" => Token::Relation(Relation::Greater),
        "ne" | "neq" => Token::Relation(Relation::NotEqual),
        "approx" | "simeq" | "thickapprox" => Token::Relation(Relation::Approximate),
        "in" => Token::In,
        "equiv" => Token::Equiv,
        "pmod" | "bmod" | "mod" | "pod" => Token::Mod,
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
        _ if calls::KNOWN.contains(&name) => Token::Symbol(format!("{name}()")),
        _ => Token::Function(words::function(name).ok_or(Unread)?),
    };
    lexer.push(token, 0);
    Ok(())
}

/// What stands under an accent or behind `\angle`: letters make one symbol, which is not the symbol without it; of all else it
/// is an unknown function. Behind `\angle` a number is the size of the angle.
fn marked(lexer: &mut Lexer<'_>, mark: &str) -> Result<(), Unread> {
    lexer.skip_spaces();
    let start = lexer.at;
    let rest = lexer.rest();
    let content = if rest.starts_with('{') {
        lexer.group()?
    } else {
        let sign = matches!(mark, "angle" | "triangle");
        let n_capitals = rest.bytes().take_while(u8::is_ascii_uppercase).count();
        let length = match rest.strip_prefix('\\') {
            Some(name) => 1 + name.bytes().take_while(u8::is_ascii_alphabetic).count(),
            None if sign && n_capitals > 0 => n_capitals,
            None => rest.chars().next().map_or(0, char::len_utf8),
        };
        if sign && !rest.starts_with(|c: char| c == '\\' || c.is_ascii_alphabetic()) {
            return Ok(());
        }
        lexer.at += length;
        &rest[..length]
    };
    let plain: String = content.chars().filter(|c| !" {}".contains(*c)).collect();
    let named = !plain.is_empty()
        && plain.chars().all(|c| c.is_ascii_alphanumeric() || "\\_'".contains(c))
        && (!plain.contains('\\') || words::greek(plain.trim_start_matches('\\')).is_some());
    if named {
        return lexer.symbol(&format!("{mark} {plain}"), 0);
    }
    lexer.at = start;
    lexer.tokens.push(Token::Symbol(format!("{mark}()")));
    if rest.starts_with('{') { Ok(()) } else { Err(Unread) }
}

/// `\mathrm{...}`: a function, a symbol of one letter, or a word.
fn upright(lexer: &mut Lexer<'_>) -> Result<(), Unread> {
    let content = lexer.group()?;
    let name = content.trim();
    if let Some(function) = words::function(name) {
        lexer.tokens.push(Token::Function(function));
        return Ok(());
    }
    if calls::KNOWN.contains(&name) {
        lexer.tokens.push(Token::Symbol(format!("{name}()")));
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
        // Lines set below each other at their signs.
        "aligned" | "align" | "gathered" | "gather" | "split" | "equation" | "eqnarray" => {
            if !begins {
                unaligned(lexer);
            }
            return Ok(());
        }
        "pmatrix" | "bmatrix" | "matrix" | "Bmatrix" | "smallmatrix" | "array" => {}
        _ => return Err(Unread),
    }
    lexer.tokens.push(if begins { Token::Begin } else { Token::End });
    Ok(())
}

/// Takes the marks of alignment out of the lines read so far, and a last empty line.
fn unaligned(lexer: &mut Lexer<'_>) {
    let mut level = 0_usize;
    lexer.tokens.retain(|token| {
        match token {
            Token::Begin => level += 1,
            Token::End => level = level.saturating_sub(1),
            _ => {}
        }
        *token != Token::Ampersand || level > 0
    });
    if lexer.tokens.last() == Some(&Token::RowBreak) {
        lexer.tokens.pop();
    }
}

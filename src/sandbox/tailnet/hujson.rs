//! HuJSON: JSON with comments and trailing commas.

use serde_json::Value;

/// Parses HuJSON.
pub fn parse(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(&without_trailing_commas(&without_comments(text)))
}

fn without_comments(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('"', _) => copy_string(&mut plain, &mut characters),
            ('/', Some('/')) => while characters.next_if(|next| *next != '\n').is_some() {},
            ('/', Some('*')) => {
                characters.next();
                let mut last = ' ';
                for next in characters.by_ref() {
                    if last == '*' && next == '/' {
                        break;
                    }
                    last = next;
                }
                plain.push(' ');
            }
            _ => plain.push(character),
        }
    }
    plain
}

fn without_trailing_commas(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => copy_string(&mut plain, &mut characters),
            '}' | ']' => {
                let kept = plain.trim_end().len();
                if plain[..kept].ends_with(',') {
                    plain.truncate(kept - 1);
                }
                plain.push(character);
            }
            _ => plain.push(character),
        }
    }
    plain
}

fn copy_string(plain: &mut String, characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    plain.push('"');
    let mut escaped = false;
    for next in characters.by_ref() {
        plain.push(next);
        if next == '"' && !escaped {
            return;
        }
        escaped = next == '\\' && !escaped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_trailing_commas_are_ignored() {
        let text = r#"{
            // who may use the tag
            "a": ["x", /* two */ "y // no comment", ],
            "b": "quoted \" // still text",
        }"#;
        let value = parse(text).unwrap();
        assert_eq!(value["a"][1], "y // no comment");
        assert_eq!(value["b"], "quoted \" // still text");
        assert!(parse("{ broken").is_err());
    }
}

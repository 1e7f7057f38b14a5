//! Expressions of GitHub Actions, as far as the templates use them: names, strings, `==`,
//! `!=`, `&&`, `||`, `!`, parentheses and `cancelled()`.

use std::collections::BTreeMap;

/// The values of names, such as `inputs.command`. A known prefix makes unset names empty.
pub(super) type Names = BTreeMap<String, String>;

/// Contexts in which an unset name is empty, as in GitHub Actions.
const OPEN: [&str; 6] = ["inputs.", "vars.", "needs.", "steps.", "github.event.", "env."];

/// Replaces the `${{ … }}` of a text.
pub(super) fn substitute(text: &str, names: &Names) -> String {
    let (mut done, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("${{") {
        done.push_str(&rest[..at]);
        let (inside, behind) = rest[at + 3..].split_once("}}").expect("the end of an expression");
        done.push_str(&evaluate(inside, names));
        rest = behind;
    }
    done + rest
}

/// Whether a condition holds.
pub(super) fn holds(condition: &str, names: &Names) -> bool {
    let condition = condition.trim().trim_start_matches("${{").trim_end_matches("}}");
    is_true(&evaluate(condition, names))
}

fn is_true(value: &str) -> bool {
    !matches!(value, "" | "false" | "0")
}

fn evaluate(text: &str, names: &Names) -> String {
    let tokens = tokenize(text);
    let mut parser = Parser { tokens: &tokens, at: 0, names };
    let value = parser.any();
    assert_eq!(parser.at, tokens.len(), "unread tokens in `{text}`");
    value
}

fn tokenize(text: &str) -> Vec<String> {
    let pattern = r"'[^']*'|&&|\|\||==|!=|[!()]|[A-Za-z_][\w.-]*(?:\(\))?|\S";
    let pattern = regex::Regex::new(pattern).expect("a pattern");
    pattern.find_iter(text).map(|found| found.as_str().to_owned()).collect()
}

struct Parser<'a> {
    tokens: &'a [String],
    at: usize,
    names: &'a Names,
}

impl Parser<'_> {
    fn takes(&mut self, token: &str) -> bool {
        let is_it = self.tokens.get(self.at).is_some_and(|it| it == token);
        self.at += usize::from(is_it);
        is_it
    }

    fn any(&mut self) -> String {
        let mut value = self.all();
        while self.takes("||") {
            let other = self.all();
            value = if is_true(&value) { value } else { other };
        }
        value
    }

    fn all(&mut self) -> String {
        let mut value = self.comparison();
        while self.takes("&&") {
            let other = self.comparison();
            value = if is_true(&value) { other } else { value };
        }
        value
    }

    fn comparison(&mut self) -> String {
        let value = self.operand();
        if self.takes("==") {
            return (value == self.operand()).to_string();
        }
        if self.takes("!=") {
            return (value != self.operand()).to_string();
        }
        value
    }

    fn operand(&mut self) -> String {
        if self.takes("!") {
            return (!is_true(&self.operand())).to_string();
        }
        if self.takes("(") {
            let value = self.any();
            assert!(self.takes(")"), "a parenthesis is open");
            return value;
        }
        let token = self.tokens.get(self.at).expect("an operand").clone();
        self.at += 1;
        match token.strip_prefix('\'') {
            Some(text) => text.trim_end_matches('\'').to_owned(),
            None if token == "cancelled()" => "false".to_owned(),
            None => self.name(&token),
        }
    }

    fn name(&self, name: &str) -> String {
        match self.names.get(name) {
            Some(value) => value.clone(),
            None if OPEN.iter().any(|prefix| name.starts_with(prefix)) => String::new(),
            None => panic!("`{name}` is not known"),
        }
    }
}

#[test]
fn expressions_have_the_values_of_github() {
    let names = Names::from([("inputs.a".to_owned(), "x".to_owned())]);
    assert_eq!(substitute("-${{ inputs.a }}-${{ inputs.b || 'c' }}", &names), "-x-c");
    for (condition, expected) in [
        ("inputs.a == 'x' && inputs.b != ''", false),
        ("${{ !cancelled() && (inputs.b == 'x' || inputs.a == 'x') }}", true),
        ("inputs.b", false),
    ] {
        assert_eq!(holds(condition, &names), expected, "{condition}");
    }
}

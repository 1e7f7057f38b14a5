//! Template expressions: `[resourceId('Microsoft.Network/virtualNetworks', 'v')]`.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::{Map, Value, json};

use super::errors::ArmError;
use crate::resource::ArmId;

/// The values that the expressions of a template refer to.
pub(super) struct TemplateScope<'a> {
    pub(super) group: &'a ArmId,
    /// The body of the group.
    pub(super) group_body: &'a Value,
    pub(super) parameters: Map<String, Value>,
    pub(super) variables: Map<String, Value>,
}

impl TemplateScope<'_> {
    /// Replaces every expression in a value.
    pub(super) fn evaluate(&self, value: &Value) -> Result<Value, ArmError> {
        match value {
            Value::String(text) => match expression(text) {
                Some(expression) => self.parse(expression),
                None => Ok(json!(
                    text.strip_prefix('[').filter(|it| it.starts_with('[')).unwrap_or(text)
                )),
            },
            Value::Array(items) => items.iter().map(|item| self.evaluate(item)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| Ok((name.clone(), self.evaluate(value)?)))
                .collect::<Result<Map<_, _>, ArmError>>()
                .map(Value::Object),
            other => Ok(other.clone()),
        }
    }

    fn parse(&self, expression: &str) -> Result<Value, ArmError> {
        let mut rest = expression.chars().peekable();
        let value = self.term(&mut rest)?;
        skip_spaces(&mut rest);
        match rest.next() {
            None => Ok(value),
            Some(character) => Err(invalid(format!(
                "unexpected '{character}' in the language expression '{expression}'"
            ))),
        }
    }

    /// A literal or a call, with the properties that are read of it.
    fn term(&self, rest: &mut Peekable<Chars<'_>>) -> Result<Value, ArmError> {
        skip_spaces(rest);
        let mut value = match rest.peek() {
            Some('\'') => json!(literal(rest)?),
            Some(digit) if digit.is_ascii_digit() => {
                let digits = word(rest, |it| it.is_ascii_digit());
                json!(digits.parse::<u64>().map_err(|_| invalid(format!("the number {digits}")))?)
            }
            _ => self.call(rest)?,
        };
        while rest.next_if_eq(&'.').is_some() {
            let name = word(rest, |it| it.is_ascii_alphanumeric() || it == '_');
            let found = value.get_mut(&name).map(Value::take);
            value =
                found.ok_or_else(|| invalid(format!("the property '{name}' does not exist")))?;
        }
        Ok(value)
    }

    fn call(&self, rest: &mut Peekable<Chars<'_>>) -> Result<Value, ArmError> {
        let name = word(rest, |it| it.is_ascii_alphanumeric());
        skip_spaces(rest);
        if rest.next_if_eq(&'(').is_none() {
            return Err(invalid(format!("'{name}' is not followed by its arguments")));
        }
        let mut arguments = Vec::new();
        loop {
            skip_spaces(rest);
            if rest.next_if_eq(&')').is_some() {
                break;
            }
            arguments.push(self.term(rest)?);
            skip_spaces(rest);
            if rest.next_if_eq(&',').is_none() && rest.peek() != Some(&')') {
                return Err(invalid(format!("the arguments of '{name}' do not end")));
            }
        }
        self.apply(&name, &arguments)
    }

    fn apply(&self, name: &str, arguments: &[Value]) -> Result<Value, ArmError> {
        let texts: Vec<&str> = arguments.iter().filter_map(Value::as_str).collect();
        let from = |values: &Map<String, Value>, what: &str| {
            let key = texts.first().copied().unwrap_or_default();
            let found = values.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
            found
                .map(|(_, value)| value.clone())
                .ok_or_else(|| invalid(format!("the template {what} '{key}' is not found")))
        };
        match (name.to_ascii_lowercase().as_str(), texts.as_slice()) {
            ("parameters", [_]) => from(&self.parameters, "parameter"),
            ("variables", [_]) => from(&self.variables, "variable"),
            ("concat", _) => Ok(json!(arguments.iter().map(text_of).collect::<String>())),
            ("tolower", [text]) => Ok(json!(text.to_lowercase())),
            ("resourceid", [resource_type, names @ ..]) if !names.is_empty() => {
                Ok(json!(self.resource_id(resource_type, names)))
            }
            ("resourcegroup", []) => Ok(self.group_body.clone()),
            ("subscription", []) => {
                Ok(json!({ "subscriptionId": self.group.subscription().unwrap_or_default() }))
            }
            _ => Err(invalid(format!(
                "the template function '{name}' with {} arguments is not valid",
                arguments.len()
            ))),
        }
    }

    /// The path of an object in the group. The names of an object and its children alternate with
    /// the segments of the type.
    pub(super) fn resource_id(&self, resource_type: &str, names: &[&str]) -> String {
        let mut segments = resource_type.split('/');
        let namespace = segments.next().unwrap_or_default();
        let mut path = format!("{}/providers/{namespace}", self.group);
        for (segment, name) in segments.zip(names) {
            path.push_str(&format!("/{segment}/{name}"));
        }
        path
    }
}

/// The inside of a text that is an expression. `[[` escapes a bracket.
fn expression(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    (!inside.starts_with('[')).then_some(inside)
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn literal(rest: &mut Peekable<Chars<'_>>) -> Result<String, ArmError> {
    rest.next();
    let mut text = String::new();
    while let Some(character) = rest.next() {
        // Two quotes are one.
        if character == '\'' && rest.next_if_eq(&'\'').is_none() {
            return Ok(text);
        }
        text.push(character);
    }
    Err(invalid(format!("the text '{text} does not end")))
}

fn word(rest: &mut Peekable<Chars<'_>>, is_part: impl Fn(char) -> bool) -> String {
    let mut word = String::new();
    while let Some(character) = rest.next_if(|it| is_part(*it)) {
        word.push(character);
    }
    word
}

fn skip_spaces(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|it| it.is_whitespace()).is_some() {}
}

/// The template cannot be evaluated.
pub(super) fn invalid(why: String) -> ArmError {
    ArmError::bad("InvalidTemplate", format!("Deployment template validation failed: '{why}'."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_replaced_and_others_are_refused() {
        let group = ArmId::resource_group("s", "g");
        let scope = TemplateScope {
            group: &group,
            group_body: &json!({ "location": "westeurope" }),
            parameters: Map::from_iter([("count".to_owned(), json!(2))]),
            variables: Map::from_iter([("name".to_owned(), json!("v"))]),
        };
        let network = format!("{group}/providers/Microsoft.Network/virtualNetworks/v");
        for (text, expected) in [
            ("plain", json!("plain")),
            ("[[kept]", json!("[kept]")),
            ("[parameters('count')]", json!(2)),
            ("[resourceGroup().location]", json!("westeurope")),
            ("[concat(variables('name'), '-', toLower('AB'), 1)]", json!("v-ab1")),
            ("[concat('it''s')]", json!("it's")),
            (
                "[resourceId('Microsoft.Network/virtualNetworks', variables('name'))]",
                json!(network),
            ),
        ] {
            assert_eq!(scope.evaluate(&json!([text])).unwrap(), json!([expected]), "{text}");
        }
        for text in
            ["[parameters('no')]", "[secret('x')]", "[concat('a'", "[concat('a') b]", "['a]"]
        {
            if expression(text).is_some() {
                assert_eq!(scope.evaluate(&json!(text)).unwrap_err().code, "InvalidTemplate");
            }
        }
    }
}

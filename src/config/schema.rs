//! The JSON Schema of both YAML files, made from the raw types, so that editors know every key that the program
//! reads.
//!
//! It tells what a file may look like; what only all files together can show, `consentry check` says.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::raw;
use super::raw::site::{Site, Treated};
use super::raw::words::{Tag, Text};
use crate::consent::Category;
use crate::services::Catalogue;
use crate::web::texts::{self, Texts};

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The kinds of files that operators and admins write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// `consentry.yaml`.
    Main,
    /// `sites/NAME.yaml`.
    Site,
}

/// The schema of one kind of file.
pub fn schema_of(file: File) -> Value {
    let generator = generator();
    let schema = match file {
        File::Main => generator.into_root_schema_for::<raw::Main>(),
        File::Site => generator.into_root_schema_for::<Site>(),
    };
    written(schema)
}

/// One schema that both kinds of files fit.
pub fn schema_of_both() -> Value {
    let mut generator = generator();
    let kinds = [generator.subschema_for::<raw::Main>(), generator.subschema_for::<Site>()];
    written(json_schema!({
        "$schema": DRAFT,
        "description": "Settings of Consentry: consentry.yaml, or the file of a site.",
        "anyOf": kinds,
        "$defs": generator.take_definitions(true),
    }))
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().into_generator()
}

fn written(mut schema: Schema) -> Value {
    RecursiveTransform(refuse_nothing).transform(&mut schema);
    schema.into()
}

/// An absent key is left out: a key without a value is an error, which Rust's `Option` does not say.
fn refuse_nothing(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice != &json!({ "type": "null" }));
        if let [Value::Object(only)] = choices.as_mut_slice() {
            let only = std::mem::take(only);
            schema.remove("anyOf");
            for (key, value) in only {
                schema.ensure_object().entry(key).or_insert(value);
            }
        }
    }
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    // Of Rust, not of JSON Schema: `uint`.
    schema.remove("format");
}

/// `services`: the names of the catalogue are offered, those of `own_services` are allowed.
pub(super) fn services(generator: &mut SchemaGenerator) -> Schema {
    let treated = generator.subschema_for::<Treated>();
    let mut known: Map<String, Value> = Category::OPTIONAL
        .iter()
        .map(|category| {
            let all = format!("Every service of the category {category}.");
            (category.to_string(), described(&treated, &all))
        })
        .collect();
    known.extend(
        Catalogue::builtin()
            .iter()
            .map(|service| (service.id.to_string(), described(&treated, &service.purpose.en))),
    );
    json_schema!({ "type": "object", "properties": known, "additionalProperties": treated })
}

/// `banner.texts`: by language, then by the name of a built-in text.
pub(super) fn banner_texts(generator: &mut SchemaGenerator) -> Schema {
    let text = generator.subschema_for::<Text>();
    let builtin = Texts::new(texts::english(), None);
    let known: Map<String, Value> =
        texts::keys().map(|key| (key.to_owned(), described(&text, builtin.get(key)))).collect();
    json_schema!({
        "type": "object",
        "propertyNames": generator.subschema_for::<Tag>(),
        "additionalProperties": { "type": "object", "properties": known, "additionalProperties": false },
    })
}

fn described(schema: &Schema, description: &str) -> Value {
    let mut schema = schema.clone();
    schema.insert("description".into(), description.into());
    schema.into()
}

#[cfg(test)]
mod tests;

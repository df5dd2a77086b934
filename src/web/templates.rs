//! The templates of banner and pages, read once. They are built in, and every value in them is escaped.

use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the standard delimiters do not clash"));
    for (name, source) in [
        ("banner.html", include_str!("pages/banner.html")),
        ("embed.html", include_str!("pages/embed.html")),
        ("embed.xml.html", include_str!("pages/embed.xml.html")),
        ("frame.html", include_str!("pages/frame.html")),
        ("link.html", include_str!("pages/link.html")),
        ("xml.html", include_str!("pages/xml.html")),
        ("note.html", include_str!("pages/note.html")),
        ("layout.html", include_str!("pages/layout.html")),
        ("languages.html", include_str!("pages/languages.html")),
        ("receipts.html", include_str!("pages/receipts.html")),
        ("receipt.html", include_str!("pages/receipt.html")),
        ("erased.html", include_str!("pages/erased.html")),
        ("settings.html", include_str!("pages/settings.html")),
        ("choices_form.html", include_str!("pages/choices_form.html")),
        ("document.html", include_str!("pages/document.html")),
        ("held.html", include_str!("pages/held.html")),
        ("declined.html", include_str!("pages/declined.html")),
        ("behind.html", include_str!("pages/behind.html")),
        ("preview.html", include_str!("pages/preview.html")),
        ("message.html", include_str!("pages/message.html")),
        ("tables.html", include_str!("pages/tables.html")),
    ] {
        environment.add_template(name, source).expect("the built-in templates are rendered by tests");
    }
    environment
});

/// Renders a built-in template. A failure is a mistake of ours: it is logged, and the page stays empty.
pub(crate) fn render(name: &str, values: &serde_json::Value) -> String {
    finished(name, TEMPLATES.get_template(name).and_then(|template| template.render(Serde(values))))
}

/// Renders some blocks of a built-in template alone, one behind the other.
pub(crate) fn render_blocks(name: &str, blocks: &[&str], values: &serde_json::Value) -> String {
    let rendered = TEMPLATES.get_template(name).and_then(|template| {
        let mut whole = template.render_captured(Serde(values))?;
        whole.with_state_mut(|state| blocks.iter().map(|block| state.render_block(block)).collect())
    });
    finished(name, rendered)
}

fn finished(name: &str, rendered: Result<String, minijinja::Error>) -> String {
    // A slash is harmless in text and in quotes, and addresses stay readable.
    let rendered = rendered.map(|page| page.replace("&#x2f;", "/"));
    rendered.unwrap_or_else(|error| {
        tracing::error!(template = name, error = format!("{error:#}"), "a page could not be rendered");
        debug_assert!(false, "{name}: {error:#}");
        String::new()
    })
}

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
        ("frame.html", include_str!("pages/frame.html")),
        ("link.html", include_str!("pages/link.html")),
        ("layout.html", include_str!("pages/layout.html")),
        ("settings.html", include_str!("pages/settings.html")),
        ("choices_form.html", include_str!("pages/choices_form.html")),
        ("document.html", include_str!("pages/document.html")),
        ("held.html", include_str!("pages/held.html")),
        ("declined.html", include_str!("pages/declined.html")),
        ("message.html", include_str!("pages/message.html")),
        ("tables.html", include_str!("pages/tables.html")),
    ] {
        environment.add_template(name, source).expect("the built-in templates are rendered by tests");
    }
    environment
});

/// Renders a built-in template. A failure is a mistake of ours: it is logged, and the page stays empty.
pub(crate) fn render(name: &str, values: &serde_json::Value) -> String {
    let rendered = TEMPLATES.get_template(name).and_then(|template| template.render(Serde(values)));
    // A slash is harmless in text and in quotes, and addresses stay readable.
    let rendered = rendered.map(|page| page.replace("&#x2f;", "/"));
    rendered.unwrap_or_else(|error| {
        tracing::error!(template = name, error = format!("{error:#}"), "a page could not be rendered");
        debug_assert!(false, "{name}: {error:#}");
        String::new()
    })
}

//! The contrast of two colours (WCAG 2.2, 1.4.3).

/// The contrast of two colours written `#rgb` or `#rrggbb`, from 1 to 21; none where one is no such colour.
/// Text needs 4.5, the parts of a control 3.
pub fn contrast(one: &str, other: &str) -> Option<f32> {
    let (one, other) = (luminance(one)?, luminance(other)?);
    Some((one.max(other) + 0.05) / (one.min(other) + 0.05))
}

/// Relative luminance as WCAG defines it.
fn luminance(colour: &str) -> Option<f32> {
    let [red, green, blue] = channels(colour)?.map(|channel| {
        let share = f32::from(channel) / 255.0;
        if share <= 0.040_45 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    });
    Some(0.2126 * red + 0.7152 * green + 0.0722 * blue)
}

fn channels(colour: &str) -> Option<[u8; 3]> {
    let digits = colour.strip_prefix('#')?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let value = u32::from_str_radix(digits, 16).ok()?;
    let [_, red, green, blue] = value.to_be_bytes();
    match digits.len() {
        6 => Some([red, green, blue]),
        3 => Some([green & 15, blue >> 4, blue & 15].map(|digit| digit * 17)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_is_measured_as_the_guidelines_do() {
        for (one, other, expected) in [
            ("#000", "#fff", 21.0),
            ("#ffffff", "#ffffff", 1.0),
            ("#777777", "#ffffff", 4.48),
            ("#abc", "#aabbcc", 1.0),
            ("#0b57d0", "#ffffff", 6.38),
        ] {
            let measured = contrast(one, other).unwrap();
            assert!((measured - expected).abs() < 0.01, "{one} on {other}: {measured}");
            assert_eq!(contrast(other, one), Some(measured));
        }
    }

    #[test]
    fn what_is_no_colour_has_no_contrast() {
        for colour in ["", "fff", "#ff", "#ffff", "#+fff12", "#gggggg", "red", "#fffffff", "#é12"] {
            assert_eq!(contrast(colour, "#fff"), None, "{colour}");
        }
    }
}

//! A QR code in a terminal of 80 × 24.
//!
//! One character holds two modules, one above the other. Black on white is
//! set explicitly, so that dark and light terminals show the same picture;
//! where colours cannot be set, light modules are drawn, as most terminals
//! are dark. The quiet zone is four modules (ISO/IEC 18004) where the picture
//! then still fits, else two, which readers accept.

use qrcode::{Color, EcLevel, QrCode};

/// Rows that leave room for a question on a terminal of 24.
pub const ROWS: usize = 22;

/// The picture, one string per row, with the whole quiet zone if it then has at most `rows` rows;
/// `None` when the text is too long for any QR code.
#[must_use]
pub fn draw(text: &str, colours: bool, rows: usize) -> Option<Vec<String>> {
    // The picture is read from a screen, undamaged: the least correction gives the smallest one.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let modules = code.to_colors();
    let quiet = if (width + 8).div_ceil(2) <= rows {
        4
    } else {
        2
    };
    let dark = |x: usize, y: usize| -> bool {
        let inside = |v: usize| (quiet..width + quiet).contains(&v);
        inside(x) && inside(y) && modules[(y - quiet) * width + x - quiet] == Color::Dark
    };
    let side = width + 2 * quiet;
    // Without colours the ink is light.
    let ink = |x: usize, y: usize| y < side && dark(x, y) == colours;
    let rows = (0..side).step_by(2).map(|y| {
        let cells: String = (0..side)
            .map(|x| match (ink(x, y), ink(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            })
            .collect();
        if colours {
            format!("\x1b[30;47m{cells}\x1b[0m")
        } else {
            cells
        }
    });
    Some(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "otpauth://totp/bastion.example.com:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=bastion.example.com";

    /// Turns the picture back into modules.
    fn modules(rows: &[String]) -> Vec<Vec<bool>> {
        let mut all = Vec::new();
        for row in rows {
            let cells = row
                .trim_start_matches("\x1b[30;47m")
                .trim_end_matches("\x1b[0m");
            all.push(cells.chars().map(|c| matches!(c, '█' | '▀')).collect());
            all.push(cells.chars().map(|c| matches!(c, '█' | '▄')).collect());
        }
        all
    }

    #[test]
    fn it_fits_a_small_terminal() {
        let rows = draw(URI, true, ROWS).unwrap();
        assert!(rows.len() <= 23, "{} rows", rows.len());
        for row in rows {
            assert!(row.chars().filter(|c| " █▀▄".contains(*c)).count() <= 80);
        }
    }

    #[test]
    fn every_module_is_where_the_encoder_put_it() {
        let code = QrCode::with_error_correction_level(URI, EcLevel::L).unwrap();
        let width = code.width();
        let drawn = modules(&draw(URI, true, ROWS).unwrap());
        let quiet = (drawn[0].len() - width) / 2;
        for y in 0..width {
            for x in 0..width {
                assert_eq!(drawn[y + quiet][x + quiet], code[(x, y)] == Color::Dark);
            }
        }
        assert!(
            drawn[..quiet].iter().flatten().all(|dark| !dark),
            "the quiet zone is light"
        );
    }

    #[test]
    fn without_colours_it_is_the_negative() {
        let (with, without) = (
            draw(URI, true, ROWS).unwrap(),
            draw(URI, false, ROWS).unwrap(),
        );
        let (with, without) = (modules(&with), modules(&without));
        let side = with[0].len();
        for (a, b) in with[..side]
            .iter()
            .flatten()
            .zip(without[..side].iter().flatten())
        {
            assert_ne!(a, b);
        }
    }

    #[test]
    fn a_text_that_fits_no_code_is_told() {
        assert!(draw(&"x".repeat(5000), true, ROWS).is_none());
    }
}

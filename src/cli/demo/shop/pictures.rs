//! The shop's goods: six landscapes, computed, as SVG, PNG and BMP.

use std::io::Write;

use bytes::Bytes;
use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use http::Response;
use http_body_util::Full;

use super::answer;

const WIDTH: u32 = 240;
const HEIGHT: u32 = 160;

/// A picture for sale.
#[derive(Debug)]
pub(super) struct Picture {
    /// What it is ordered by.
    pub(super) number: u8,
    /// Its name.
    pub(super) title: &'static str,
    /// Its price in kronor.
    pub(super) price: u32,
    format: Format,
    /// The colour of the sky at the top, and of the hills.
    colours: [[u8; 3]; 2],
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Svg,
    Png,
    Bmp,
}

/// What the shop sells.
pub(super) const PICTURES: [Picture; 6] = [
    Picture::new(1, "Höga Kusten i dimma", 450, Format::Svg, [[120, 140, 160], [50, 70, 80]]),
    Picture::new(2, "Åre, fjäll i mars", 520, Format::Png, [[60, 120, 210], [225, 232, 240]]),
    Picture::new(3, "Alvaret på Öland", 390, Format::Bmp, [[90, 160, 220], [110, 140, 60]]),
    Picture::new(4, "Rådjur i råg", 610, Format::Svg, [[230, 180, 110], [180, 150, 60]]),
    Picture::new(5, "Skärgård vid Möja", 480, Format::Png, [[40, 60, 120], [30, 50, 60]]),
    Picture::new(6, "Älvsborgsbron om natten", 700, Format::Bmp, [[10, 12, 40], [30, 26, 50]]),
];

impl Picture {
    const fn new(number: u8, title: &'static str, price: u32, format: Format, colours: [[u8; 3]; 2]) -> Self {
        Picture { number, title, price, format, colours }
    }

    /// The path of its file.
    pub(super) fn file(&self) -> String {
        let extension = match self.format {
            Format::Svg => "svg",
            Format::Png => "png",
            Format::Bmp => "bmp",
        };
        format!("/bilder/{}.{extension}", self.number)
    }

    fn draw(&self) -> Response<Full<Bytes>> {
        match self.format {
            Format::Svg => answer::file("image/svg+xml", self.svg()),
            Format::Png => answer::file("image/png", png(&self.pixels())),
            Format::Bmp => answer::file("image/bmp", bmp(&self.pixels())),
        }
    }

    /// Red, green and blue of every pixel, from the upper left.
    fn pixels(&self) -> Vec<[u8; 3]> {
        (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| self.colour(x, y))).collect()
    }

    fn colour(&self, x: u32, y: u32) -> [u8; 3] {
        let [sky, hill] = self.colours;
        let phase = f64::from(self.number) + f64::from(x) / 37.0;
        let ridge = f64::from(HEIGHT) * (0.66 + 0.10 * phase.sin() + 0.04 * (phase * 2.7).cos());
        if f64::from(y) > ridge {
            return hill;
        }
        // The sky grows paler towards the horizon.
        let down = f64::from(y) / f64::from(HEIGHT);
        sky.map(|channel| blend(channel, 245, down * 0.7))
    }

    fn svg(&self) -> String {
        let [sky, hill] = self.colours.map(|[red, green, blue]| format!("rgb({red},{green},{blue})"));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 24 16\">\
             <defs><linearGradient id=\"h\" x2=\"0\" y2=\"1\"><stop stop-color=\"{sky}\"/>\
             <stop offset=\"1\" stop-color=\"#f5f5f5\"/></linearGradient></defs>\
             <rect width=\"24\" height=\"16\" fill=\"url(#h)\"/><circle cx=\"17\" cy=\"4\" r=\"1.6\" fill=\"#fff6d8\"/>\
             <path d=\"M0 11q4-3 8-1t8-1 8 1v6H0z\" fill=\"{hill}\"/></svg>"
        )
    }
}

fn blend(from: u8, to: u8, share: f64) -> u8 {
    // A share between 0 and 1 keeps the result between two bytes.
    (f64::from(from) * (1.0 - share) + f64::from(to) * share).round() as u8
}

/// The picture that a form or a query names.
pub(super) fn with_number(number: &str) -> Option<&'static Picture> {
    let number: u8 = number.parse().ok()?;
    PICTURES.iter().find(|picture| picture.number == number)
}

/// The file at this path, if it is a picture.
pub(super) fn find(path: &str) -> Option<Response<Full<Bytes>>> {
    if path == "/bilder/tom.gif" {
        return Some(answer::file("image/gif", EMPTY_GIF));
    }
    PICTURES.iter().find(|picture| picture.file() == path).map(Picture::draw)
}

/// One transparent pixel, with which tables were kept apart.
const EMPTY_GIF: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\
\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// Pixels as PNG (ISO/IEC 15948): eight bits a channel, no filter.
fn png(pixels: &[[u8; 3]]) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(WIDTH.to_be_bytes());
    header.extend(HEIGHT.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    for row in pixels.chunks(WIDTH as usize) {
        // Writing into memory does not fail.
        let _ = zlib.write_all(&[0]);
        let _ = zlib.write_all(row.as_flattened());
    }
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in
        [(b"IHDR", header), (b"IDAT", zlib.finish().unwrap_or_default()), (b"IEND", Vec::new())]
    {
        chunk(&mut file, kind, &data);
    }
    file
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let mut check = Crc::new();
    check.update(kind);
    check.update(data);
    file.extend((data.len() as u32).to_be_bytes());
    file.extend(kind);
    file.extend(data);
    file.extend(check.sum().to_be_bytes());
}

/// Pixels as a Windows bitmap: 24 bits, the lowest row first. A row of 240 pixels needs no padding.
fn bmp(pixels: &[[u8; 3]]) -> Vec<u8> {
    const HEAD: u32 = 54;
    let size = HEAD + WIDTH * HEIGHT * 3;
    let mut file = b"BM".to_vec();
    for number in [size, 0, HEAD, 40, WIDTH, HEIGHT, 1 | 24 << 16, 0, WIDTH * HEIGHT * 3, 2835, 2835, 0, 0] {
        file.extend(number.to_le_bytes());
    }
    for row in pixels.rchunks(WIDTH as usize) {
        file.extend(row.iter().flat_map(|[red, green, blue]| [blue, green, red]));
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_is_found_under_its_own_path() {
        for picture in &PICTURES {
            assert!(find(&picture.file()).is_some(), "{}", picture.title);
        }
        assert!(find("/bilder/7.png").is_none());
    }

    #[test]
    fn a_bitmap_is_as_long_as_it_says() {
        let file = bmp(&PICTURES[2].pixels());
        assert_eq!(&file[..2], b"BM");
        assert_eq!(u32::from_le_bytes(file[2..6].try_into().unwrap()) as usize, file.len());
    }

    #[test]
    fn a_png_ends_with_the_check_sum_every_reader_knows() {
        let file = png(&PICTURES[1].pixels());
        assert!(file.starts_with(b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"));
        assert!(file.ends_with(b"\x00\x00\x00\x00IEND\xae\x42\x60\x82"));
    }
}

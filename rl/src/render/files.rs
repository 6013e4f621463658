//! Pictures in files.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::Canvas;

/// A picture can't be written.
#[derive(Debug, thiserror::Error)]
#[error("can't write the picture {}", path.display())]
pub struct RenderError {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub source: io::Error,
}

/// Writes one picture as PNG.
///
/// # Errors
/// [`RenderError`] if the system refuses.
pub fn write_png(path: &Path, canvas: &Canvas) -> Result<(), RenderError> {
    let failed = |source| RenderError { path: path.to_path_buf(), source };
    let file = BufWriter::new(File::create(path).map_err(failed)?);
    let mut encoder = png::Encoder::new(file, canvas.width() as u32, canvas.height() as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|error| failed(error.into()))?;
    writer.write_image_data(canvas.pixels()).map_err(|error| failed(error.into()))?;
    writer.finish().map_err(|error| failed(error.into()))
}

/// A GIF that is played again and again. It is whole when it is dropped.
pub struct GifFile {
    path: PathBuf,
    encoder: gif::Encoder<BufWriter<File>>,
    /// Hundredths of a second that a picture is shown for.
    delay: u16,
}

impl GifFile {
    /// A file without pictures, for pictures of that many pixels, of which each is shown for `delay_cs` hundredths of a
    /// second.
    ///
    /// # Errors
    /// [`RenderError`] if the system refuses.
    ///
    /// # Panics
    /// If the size doesn't fit the format: 65,535 pixels at the most on each side.
    pub fn create(path: &Path, [width, height]: [usize; 2], delay_cs: u16) -> Result<Self, RenderError> {
        let failed = |source| RenderError { path: path.to_path_buf(), source };
        let [width, height] = [width, height].map(|side| u16::try_from(side).expect("a side of at most 65,535 pixels"));
        let file = BufWriter::new(File::create(path).map_err(failed)?);
        let mut encoder =
            gif::Encoder::new(file, width, height, &[]).map_err(|error| failed(io::Error::other(error)))?;
        encoder.set_repeat(gif::Repeat::Infinite).map_err(|error| failed(io::Error::other(error)))?;
        Ok(Self { path: path.to_path_buf(), encoder, delay: delay_cs })
    }

    /// Adds a picture.
    ///
    /// # Errors
    /// [`RenderError`] if the system refuses.
    ///
    /// # Panics
    /// If the picture has another size than the file.
    pub fn add(&mut self, canvas: &Canvas) -> Result<(), RenderError> {
        let (width, height) = (canvas.width() as u16, canvas.height() as u16);
        // Quantising at full speed: the scenes have few colours.
        let mut frame = gif::Frame::from_rgb_speed(width, height, canvas.pixels(), 30);
        frame.delay = self.delay;
        let written = self.encoder.write_frame(&frame);
        written.map_err(|error| RenderError { path: self.path.clone(), source: io::Error::other(error) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Scene;

    #[test]
    fn a_png_comes_back_as_it_was_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let canvas = Scene::CartPole.draw(&[0.1, 0.0, 0.1, 0.0]);
        write_png(&path, &canvas).unwrap();
        let decoder = png::Decoder::new(io::BufReader::new(File::open(&path).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (600, 400));
        assert_eq!(pixels, canvas.pixels());
    }

    #[test]
    fn a_gif_has_all_pictures_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gif");
        let mut file = GifFile::create(&path, [500, 500], 3).unwrap();
        for speed in [1.0, -1.0] {
            file.add(&Scene::Pendulum.draw(&[speed, 0.0, 0.0])).unwrap();
        }
        drop(file);
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(File::open(&path).unwrap()).unwrap();
        let mut above = Vec::new();
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            assert_eq!((frame.width, frame.height, frame.delay), (500, 500, 3));
            let pixel = |row: usize| frame.buffer[4 * (row * 500 + 250)..][..3].to_vec();
            above.push(pixel(180)[1] < pixel(320)[1]);
        }
        assert_eq!(above, [true, false], "the rod points up, then down");
    }
}

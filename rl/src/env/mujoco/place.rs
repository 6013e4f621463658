//! Where the library and the models lie.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::{env, fs};

use super::error::MujocoError;

/// Where to look for MuJoCo. [`MujocoPlace::default`] looks into the environment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MujocoPlace {
    /// The library or the folder that it lies in: `libmujoco.so`, with or without a version behind. If none is given:
    /// what `MUJOCO_PATH` names; the wheel in the Python environment that is active (`VIRTUAL_ENV`, `CONDA_PREFIX`,
    /// else that of `python3`); `~/.mujoco/mujoco*/lib`; `/usr/local/lib`, `/usr/lib`.
    pub library: Option<PathBuf>,
    /// The folder of Gymnasium's models, `gymnasium/envs/mujoco/assets`. If none is given: what `GYMNASIUM_MODELS`
    /// names; Gymnasium's wheel beside the library's; that in the Python environment that is active.
    pub models: Option<PathBuf>,
}

impl MujocoPlace {
    /// The library.
    pub(super) fn find_library(&self) -> Result<PathBuf, MujocoError> {
        let folders = match self.library.clone().or_else(|| env::var_os("MUJOCO_PATH").map(PathBuf::from)) {
            Some(file) if file.is_file() => return Ok(file),
            Some(folder) => vec![folder.join("lib"), folder.join("mujoco"), folder],
            None => usual_folders(),
        };
        let found = folders.iter().find_map(|folder| library_in(folder));
        found.ok_or(MujocoError::NoLibrary { searched: folders })
    }

    /// The model of this name, for a library at `library`.
    pub(super) fn find_model(&self, name: &'static str, library: &Path) -> Result<PathBuf, MujocoError> {
        let folders = match self.models.clone().or_else(|| env::var_os("GYMNASIUM_MODELS").map(PathBuf::from)) {
            Some(folder) => vec![folder],
            None => {
                let beside = library.parent().and_then(Path::parent).map(Path::to_path_buf);
                beside
                    .into_iter()
                    .chain(site_packages())
                    .map(|site| site.join("gymnasium/envs/mujoco/assets"))
                    .collect()
            }
        };
        let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
        found.ok_or(MujocoError::NoModel { name, searched: folders })
    }
}

fn usual_folders() -> Vec<PathBuf> {
    let wheels = site_packages().into_iter().map(|site| site.join("mujoco"));
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let unpacked = entries(&home.join(".mujoco")).into_iter().map(|folder| folder.join("lib"));
    wheels.chain(unpacked).chain(["/usr/local/lib".into(), "/usr/lib".into()]).collect()
}

/// The library in a folder; of several, that of the greatest name.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let is_library = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name == "libmujoco.so" || name.starts_with("libmujoco.so.") || name == "libmujoco.dylib"
    };
    entries(folder).into_iter().filter(is_library).max()
}

/// Folders of Python packages: those of the environment that is active, else those that `python3` searches.
fn site_packages() -> Vec<PathBuf> {
    let active = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().find_map(env::var_os);
    match active {
        Some(prefix) => {
            let versions = entries(&Path::new(&prefix).join("lib")).into_iter();
            versions.map(|version| version.join("site-packages")).filter(|site| site.is_dir()).collect()
        }
        None => searched_by_python().to_vec(),
    }
}

/// Asked once a process: starting Python takes tens of milliseconds.
fn searched_by_python() -> &'static [PathBuf] {
    static FOUND: OnceLock<Vec<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let script = "import sys; print(chr(10).join(sys.path))";
        let output = Command::new("python3").args(["-c", script]).stdin(Stdio::null()).stderr(Stdio::null()).output();
        let lines = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        lines.lines().map(PathBuf::from).filter(|path| path.is_absolute() && path.is_dir()).collect()
    })
}

/// What lies in a folder, by name; nothing if it can't be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<OsString> = read.map(|entry| entry.file_name()).collect();
    names.sort();
    names.into_iter().map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_found_in_a_folder_or_a_wheel_and_else_its_absence_says_what_to_do() {
        let root = tempfile::tempdir().expect("a folder");
        let place = MujocoPlace { library: Some(root.path().to_path_buf()), models: Some(root.path().to_path_buf()) };
        let error = place.find_library().expect_err("an empty folder").to_string();
        assert!(error.contains("pip install mujoco gymnasium") && error.contains("MUJOCO_PATH"), "{error}");
        let error = place.find_model("ant.xml", Path::new("libmujoco.so")).expect_err("an empty folder").to_string();
        assert!(error.starts_with("no ant.xml was found") && error.contains("GYMNASIUM_MODELS"), "{error}");

        fs::create_dir(root.path().join("mujoco")).expect("a folder");
        for name in ["libmujoco.so.3.3.7", "libmujoco.so.4.0.0", "libmujoco_extra.so", "ant.xml"] {
            fs::write(root.path().join("mujoco").join(name), "").expect("a file");
        }
        let found = place.find_library().expect("a wheel's folder");
        assert_eq!(found, root.path().join("mujoco/libmujoco.so.4.0.0"));
        let place = MujocoPlace { library: Some(found.clone()), models: Some(root.path().join("mujoco")) };
        assert_eq!(place.find_library().expect("the file itself"), found);
        assert!(place.find_model("ant.xml", &found).is_ok());
    }
}

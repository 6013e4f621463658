//! The library, loaded at run time: the one place of this crate where code is `unsafe`.
//!
//! Only functions of the public C interface are called, with the signatures that they have had since 3.0. A few arrays
//! are reached by pointers in `mjData`, at offsets that are known for this very version and were checked on loading.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use libloading::Library as Dylib;

use super::error::MujocoError;
use super::layout::{Layout, version_name};

/// Bits of `mjtState`: they have been these since 3.0.
const TIME: c_int = 1 << 0;
const QPOS: c_int = 1 << 1;
const QVEL: c_int = 1 << 2;
/// `mjSTATE_CTRL` and `mjSTATE_XFRC_APPLIED` until 3.4, and since 3.5. Should they move again, lengths that differ from
/// those of the task tell.
const CTRL: [c_int; 2] = [1 << 5, 1 << 6];
const XFRC_APPLIED: [c_int; 2] = [1 << 7, 1 << 8];
const VERSION_OF_LATER_BITS: c_int = 3_005_000;
/// The oldest version with these functions and bits.
const VERSION_MIN: c_int = 310;

/// Declared so that pointers to the two structs can't be mixed up.
#[repr(C)]
struct RawModel(c_void);

#[repr(C)]
struct RawData(c_void);

/// The functions, valid as long as the library is loaded.
struct Functions {
    load_xml: unsafe extern "C" fn(*const c_char, *const c_void, *mut c_char, c_int) -> *mut RawModel,
    delete_model: unsafe extern "C" fn(*mut RawModel),
    make_data: unsafe extern "C" fn(*const RawModel) -> *mut RawData,
    delete_data: unsafe extern "C" fn(*mut RawData),
    reset_data: unsafe extern "C" fn(*const RawModel, *mut RawData),
    forward: unsafe extern "C" fn(*const RawModel, *mut RawData),
    step: unsafe extern "C" fn(*const RawModel, *mut RawData),
    rne_post_constraint: unsafe extern "C" fn(*const RawModel, *mut RawData),
    state_size: unsafe extern "C" fn(*const RawModel, c_int) -> c_int,
    get_state: unsafe extern "C" fn(*const RawModel, *const RawData, *mut f64, c_int),
    set_state: unsafe extern "C" fn(*const RawModel, *mut RawData, *const f64, c_int),
    total_mass: unsafe extern "C" fn(*const RawModel) -> f64,
}

/// A loaded library.
pub struct Library {
    functions: Functions,
    version: c_int,
    path: PathBuf,
    /// Last, so that it is unloaded last.
    _dylib: Dylib,
}

impl Library {
    /// Loads the library at `path`.
    pub fn load(path: &Path) -> Result<Arc<Self>, MujocoError> {
        let failed = |source| MujocoError::Load { path: path.to_path_buf(), source };
        // SAFETY: loading runs the library's initializers. Whoever names a file by this path, or installed MuJoCo,
        // trusts it to be MuJoCo, whose initializers only fill its tables.
        let dylib = unsafe { Dylib::new(path) }.map_err(failed)?;
        // SAFETY: `int mj_version(void)` in every version.
        let version = unsafe { dylib.get::<unsafe extern "C" fn() -> c_int>("mj_version").map_err(failed)?() };
        if version < VERSION_MIN {
            return Err(MujocoError::TooOld { path: path.to_path_buf(), version: version_name(version) });
        }
        // SAFETY: the types of the fields are those of the functions of the same names in `mujoco.h`, where `mjtNum` is
        // `double`.
        let functions = unsafe { Functions::of(&dylib) }.map_err(failed)?;
        // SAFETY: `void (*mju_user_warning)(const char*)`, a variable; nothing runs a simulation of this library before
        // it is loaded, and a second load writes the same value. Without it warnings go to a file in the current
        // folder.
        unsafe {
            let handler = dylib.get::<*mut Option<unsafe extern "C" fn(*const c_char)>>("mju_user_warning");
            **handler.map_err(failed)? = Some(warn);
        }
        Ok(Arc::new(Self { functions, version, path: path.to_path_buf(), _dylib: dylib }))
    }

    /// What `mj_version` says.
    pub fn version(&self) -> i32 {
        self.version
    }

    /// Where it was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Functions {
    /// # Safety
    /// The library must be MuJoCo.
    unsafe fn of(dylib: &Dylib) -> Result<Self, libloading::Error> {
        // SAFETY: as the caller promises; each symbol has the type of its field.
        unsafe {
            Ok(Self {
                load_xml: *dylib.get("mj_loadXML")?,
                delete_model: *dylib.get("mj_deleteModel")?,
                make_data: *dylib.get("mj_makeData")?,
                delete_data: *dylib.get("mj_deleteData")?,
                reset_data: *dylib.get("mj_resetData")?,
                forward: *dylib.get("mj_forward")?,
                step: *dylib.get("mj_step")?,
                rne_post_constraint: *dylib.get("mj_rnePostConstraint")?,
                state_size: *dylib.get("mj_stateSize")?,
                get_state: *dylib.get("mj_getState")?,
                set_state: *dylib.get("mj_setState")?,
                total_mass: *dylib.get("mj_getTotalmass")?,
            })
        }
    }
}

/// Passes a warning on to whoever listens.
unsafe extern "C" fn warn(message: *const c_char) {
    if !message.is_null() {
        // SAFETY: MuJoCo gives a string that ends with 0 and lives through the call.
        let message = unsafe { CStr::from_ptr(message) };
        tracing::warn!(target: "mujoco", "{}", message.to_string_lossy());
    }
}

/// A model: read-only after loading, and so shared by all simulations of it.
pub struct Model {
    raw: NonNull<RawModel>,
    library: Arc<Library>,
    sizes: Sizes,
    timestep: f64,
    /// Known for Ant and Humanoid, which need it.
    layout: Option<&'static Layout>,
}

/// Numbers of positions, velocities and controls, and of bodies, the world among them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    pub qpos: usize,
    pub qvel: usize,
    pub ctrl: usize,
    pub bodies: usize,
}

// SAFETY: nothing writes to a model after `Model::load`, and reading needs no lock.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

impl Model {
    /// Loads a model, which must have these sizes.
    pub fn load(library: &Arc<Library>, path: &Path, sizes: Sizes) -> Result<Arc<Self>, MujocoError> {
        Ok(Arc::new(Self::read(library, path, sizes)?))
    }

    /// The same with the fields of `mjData` that only its layout gives.
    pub fn load_with_fields(library: &Arc<Library>, path: &Path, sizes: Sizes) -> Result<Arc<Self>, MujocoError> {
        let unknown = || MujocoError::Layout { version: version_name(library.version) };
        let layout = Layout::of(library.version).ok_or_else(unknown)?;
        let mut model = Self::read(library, path, sizes)?;
        model.layout = Some(layout);
        let model = Arc::new(model);
        // What functions say must be what the offsets lead to.
        let data = Data::new(&model).ok_or(MujocoError::NoMemory)?;
        let mut state = vec![0.0; sizes.qpos + sizes.qvel];
        data.read_state(&mut state);
        // SAFETY: a model of this library.
        let total = unsafe { (library.functions.total_mass)(model.raw.as_ptr()) };
        let is_same_mass = (model.body_mass().iter().sum::<f64>() - total).abs() <= 1e-9 * total;
        if !is_same_mass || data.field(Field::Qpos) != &state[..sizes.qpos] {
            return Err(unknown());
        }
        Ok(model)
    }

    fn read(library: &Arc<Library>, path: &Path, sizes: Sizes) -> Result<Self, MujocoError> {
        let failed = |message: String| MujocoError::Model { path: path.to_path_buf(), message };
        let name = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|error| failed(error.to_string()))?;
        let mut message = [0 as c_char; 1000];
        let (functions, room) = (&library.functions, message.len() as c_int);
        // SAFETY: the name ends with 0, no virtual files, and room for a message of the length that is said.
        let raw = unsafe { (functions.load_xml)(name.as_ptr(), ptr::null(), message.as_mut_ptr(), room) };
        let Some(raw) = NonNull::new(raw) else {
            // SAFETY: `message` is ours, began as zeros, and `mj_loadXML` ends what it writes with 0.
            let message = unsafe { CStr::from_ptr(message.as_ptr()) };
            return Err(failed(message.to_string_lossy().into_owned()));
        };
        let mut model = Self { raw, library: library.clone(), sizes, timestep: 0.0, layout: None };
        let found = model.measure_sizes();
        if found != sizes {
            return Err(failed(format!("it has {found:?}, but the task's has {sizes:?}")));
        }
        model.timestep = model.measure_timestep().ok_or(MujocoError::NoMemory)?;
        Ok(model)
    }

    /// Seconds of one `mj_step`.
    pub fn timestep(&self) -> f64 {
        self.timestep
    }

    /// Masses of the bodies, `[bodies]`, in kg.
    ///
    /// # Panics
    /// If the model was loaded without fields.
    pub fn body_mass(&self) -> &[f64] {
        let offset = self.layout.expect("loaded with fields").body_mass;
        // SAFETY: the layout of this version says that a pointer to as many numbers as `mj_stateSize` counts bodies
        // lies there, which live as long as the model and are never written.
        unsafe { numbers(self.raw.as_ptr().cast(), offset, self.sizes.bodies) }
    }

    fn measure_sizes(&self) -> Sizes {
        // SAFETY: a model of this library.
        let size = |bit| unsafe { (self.library.functions.state_size)(self.raw.as_ptr(), bit) } as usize;
        let place = usize::from(self.library.version >= VERSION_OF_LATER_BITS);
        // Forces may be applied to each body: six numbers.
        Sizes { qpos: size(QPOS), qvel: size(QVEL), ctrl: size(CTRL[place]), bodies: size(XFRC_APPLIED[place]) / 6 }
    }

    /// The clock after one step from 0; `None` if the simulation's memory can't be had.
    fn measure_timestep(&self) -> Option<f64> {
        let functions = &self.library.functions;
        // SAFETY: a model of this library.
        let data = NonNull::new(unsafe { (functions.make_data)(self.raw.as_ptr()) })?;
        let mut time = 0.0;
        // SAFETY: data of this model, deleted once, after its last use; the clock is one number.
        unsafe {
            (functions.step)(self.raw.as_ptr(), data.as_ptr());
            (functions.get_state)(self.raw.as_ptr(), data.as_ptr(), &mut time, TIME);
            (functions.delete_data)(data.as_ptr());
        }
        Some(time)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: made by this library, and each simulation holds an `Arc` of it, so that none is left.
        unsafe { (self.library.functions.delete_model)(self.raw.as_ptr()) }
    }
}

/// Arrays of `mjData`, row-major.
#[derive(Clone, Copy, Debug)]
pub enum Field {
    /// `[nq]`
    Qpos,
    /// `[bodies, 3]`
    Xpos,
    /// `[bodies, 3]`
    Xipos,
    /// `[bodies, 10]`
    Cinert,
    /// `[bodies, 6]`
    Cvel,
    /// `[nv]`
    QfrcActuator,
    /// `[bodies, 6]`
    CfrcExt,
}

/// One simulation.
pub struct Data {
    raw: NonNull<RawData>,
    model: Arc<Model>,
}

// SAFETY: `mjData` is plain memory that any one thread at a time may use; `&mut self` sees to that.
unsafe impl Send for Data {}

impl Data {
    /// A simulation of `model` in its initial state; `None` if its memory can't be had.
    pub fn new(model: &Arc<Model>) -> Option<Self> {
        // SAFETY: a model of this library.
        let raw = NonNull::new(unsafe { (model.library.functions.make_data)(model.raw.as_ptr()) })?;
        Some(Self { raw, model: model.clone() })
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Back to the initial state of the model.
    pub fn reset(&mut self) {
        // SAFETY: data of this model, which `&mut self` has alone.
        unsafe { (self.functions().reset_data)(self.model.raw.as_ptr(), self.raw.as_ptr()) }
    }

    /// Computes everything that follows from the state.
    pub fn forward(&mut self) {
        // SAFETY: as in `reset`.
        unsafe { (self.functions().forward)(self.model.raw.as_ptr(), self.raw.as_ptr()) }
    }

    /// Advances the simulation by `count` steps.
    pub fn step(&mut self, count: u32) {
        let step = self.functions().step;
        for _ in 0..count {
            // SAFETY: as in `reset`.
            unsafe { step(self.model.raw.as_ptr(), self.raw.as_ptr()) }
        }
    }

    /// Computes the forces of contacts on bodies.
    pub fn rne_post_constraint(&mut self) {
        // SAFETY: as in `reset`.
        unsafe { (self.functions().rne_post_constraint)(self.model.raw.as_ptr(), self.raw.as_ptr()) }
    }

    /// Positions, then velocities, `[nq + nv]`.
    pub fn read_state(&self, state: &mut [f64]) {
        let Sizes { qpos, qvel, .. } = self.model.sizes;
        assert_eq!(state.len(), qpos + qvel, "numbers of a state");
        let (model, data) = (self.model.raw.as_ptr(), self.raw.as_ptr());
        // SAFETY: `mj_stateSize` gave these lengths for these bits; the parts are written in the order of the bits.
        unsafe { (self.functions().get_state)(model, data, state.as_mut_ptr(), QPOS | QVEL) }
    }

    /// Sets positions and velocities, `[nq + nv]`.
    pub fn write_state(&mut self, state: &[f64]) {
        let Sizes { qpos, qvel, .. } = self.model.sizes;
        assert_eq!(state.len(), qpos + qvel, "numbers of a state");
        let (model, data) = (self.model.raw.as_ptr(), self.raw.as_ptr());
        // SAFETY: as in `read_state`.
        unsafe { (self.functions().set_state)(model, data, state.as_ptr(), QPOS | QVEL) }
    }

    /// Sets the controls, `[nu]`.
    pub fn write_ctrl(&mut self, ctrl: &[f64]) {
        assert_eq!(ctrl.len(), self.model.sizes.ctrl, "numbers of a control");
        let bit = CTRL[usize::from(self.model.library.version >= VERSION_OF_LATER_BITS)];
        let (model, data) = (self.model.raw.as_ptr(), self.raw.as_ptr());
        // SAFETY: `mj_stateSize` gave this length for this bit.
        unsafe { (self.functions().set_state)(model, data, ctrl.as_ptr(), bit) }
    }

    /// An array of the simulation.
    ///
    /// # Panics
    /// If the model was loaded without fields.
    pub fn field(&self, field: Field) -> &[f64] {
        let (layout, sizes) = (self.model.layout.expect("loaded with fields"), self.model.sizes);
        let (offset, len) = match field {
            Field::Qpos => (layout.qpos, sizes.qpos),
            Field::Xpos => (layout.xpos, 3 * sizes.bodies),
            Field::Xipos => (layout.xipos, 3 * sizes.bodies),
            Field::Cinert => (layout.cinert, 10 * sizes.bodies),
            Field::Cvel => (layout.cvel, 6 * sizes.bodies),
            Field::QfrcActuator => (layout.qfrc_actuator, sizes.qvel),
            Field::CfrcExt => (layout.cfrc_ext, 6 * sizes.bodies),
        };
        // SAFETY: the layout of this version says that a pointer to that many numbers lies there. They live as long as
        // the data, and are written only by functions that `&mut self` calls.
        unsafe { numbers(self.raw.as_ptr().cast(), offset, len) }
    }

    fn functions(&self) -> &Functions {
        &self.model.library.functions
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        // SAFETY: made by this library, and used by nobody else.
        unsafe { (self.functions().delete_data)(self.raw.as_ptr()) }
    }
}

/// The `len` numbers that the pointer at `offset` of a struct leads to.
///
/// # Safety
/// There must be such a pointer, and its numbers must live, unwritten, for `'a`.
unsafe fn numbers<'a>(start: *const u8, offset: usize, len: usize) -> &'a [f64] {
    // SAFETY: as the caller promises; MuJoCo aligns its arrays to 64 bytes, and its structs as C does.
    unsafe { std::slice::from_raw_parts(start.add(offset).cast::<*const f64>().read(), len) }
}

//! The lanes of a warp.

use super::access::{AccessError, Reach, check_alignment};
use super::launch::Launch;
use crate::fault::{Fault, Status};
use crate::ptx::{
    Address, Base, Function, Instruction, Operand, Operation, ShuffleMode, Special, Type, Update, VoteMode,
};

/// Up to 32 threads that run the same instruction.
///
/// Where a branch parts them they run on in groups, that which is farthest behind first, and are one again where they
/// meet.
pub struct Warp {
    /// Of the block, in its linear order.
    first_thread: u32,
    /// Register by register, lane by lane.
    registers: Vec<u64>,
    running: Vec<Group>,
    waiting: Vec<Group>,
}

/// Lanes at one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    at: usize,
    lanes: Lanes,
}

/// A set of lanes, a bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lanes(u32);

/// What the threads of a block have around them.
pub struct Scene<'a> {
    pub launch: &'a Launch,
    pub block: [u32; 3],
    pub reach: Reach<'a>,
}

/// Why an instruction can't be run for a lane.
enum Trap {
    Access(AccessError),
    /// A shuffle from a lane that doesn't take part.
    InactiveLane(u32),
}

impl Warp {
    pub const LANES: u32 = 32;

    /// The warp that begins with `first_thread`; `thread_count` are left in the block.
    pub fn new(first_thread: u32, thread_count: u32, register_count: usize) -> Self {
        let lanes = Lanes(if thread_count >= Self::LANES { u32::MAX } else { (1 << thread_count) - 1 });
        let registers = vec![0; register_count * Self::LANES as usize];
        Self { first_thread, registers, running: vec![Group { at: 0, lanes }], waiting: vec![] }
    }

    /// Whether some lanes neither wait nor have ended.
    pub fn can_run(&self) -> bool {
        !self.running.is_empty()
    }

    /// Lets those go on who wait at a barrier; returns whether there were any.
    pub fn pass_barrier(&mut self) -> bool {
        self.running.append(&mut self.waiting);
        self.merge();
        self.can_run()
    }

    /// Runs one instruction of the group that is farthest behind.
    pub fn step(&mut self, scene: &mut Scene<'_>) -> Result<(), Fault> {
        let behind =
            (0..self.running.len()).min_by_key(|group| self.running[*group].at).expect("called while it can run");
        let Group { at, lanes } = self.running[behind];
        let launch = scene.launch;
        let Some(instruction) = launch.kernel.instructions.get(at) else {
            self.leave(behind, lanes);
            return Ok(());
        };
        let active = self.guarded(instruction, lanes);
        match &instruction.operation {
            Operation::Branch { target } => self.branch(behind, active, *target),
            Operation::Return => self.leave(behind, active),
            Operation::Barrier => self.wait(behind, active),
            Operation::Compute { function, of, to, from } => self.compute(scene, active, (*function, *of), *to, from),
            Operation::Split { part, to, from } => self.split(scene, active, *part, to, *from),
            Operation::Join { part, to, from } => self.join(scene, active, *part, *to, from),
            _ => self.exchange(scene, active, instruction)?,
        }
        if !matches!(instruction.operation, Operation::Branch { .. } | Operation::Return | Operation::Barrier) {
            self.running[behind].at = at + 1;
        }
        self.merge();
        Ok(())
    }

    /// Those of the lanes that the guard lets do it.
    fn guarded(&self, instruction: &Instruction, lanes: Lanes) -> Lanes {
        let Some(guard) = instruction.guard else { return lanes };
        let is_active = |lane: &u32| (self.register(guard.register, *lane) != 0) != guard.is_negated;
        lanes.iter().filter(is_active).fold(Lanes(0), Lanes::with)
    }

    fn branch(&mut self, group: usize, taken: Lanes, target: usize) {
        self.take_out(group, taken);
        if !taken.is_empty() {
            self.running.push(Group { at: target, lanes: taken });
        }
    }

    fn leave(&mut self, group: usize, lanes: Lanes) {
        self.take_out(group, lanes);
    }

    fn wait(&mut self, group: usize, lanes: Lanes) {
        let at = self.running[group].at + 1;
        self.take_out(group, lanes);
        if !lanes.is_empty() {
            self.waiting.push(Group { at, lanes });
        }
    }

    /// The others of the group go on.
    fn take_out(&mut self, group: usize, lanes: Lanes) {
        let rest = &mut self.running[group];
        rest.at += 1;
        rest.lanes = rest.lanes.without(lanes);
        if rest.lanes.is_empty() {
            self.running.swap_remove(group);
        }
    }

    /// Makes groups one that are at one instruction.
    fn merge(&mut self) {
        if self.running.len() < 2 {
            return;
        }
        self.running.sort_by_key(|group| group.at);
        self.running.dedup_by(|next, first| {
            let is_same = next.at == first.at;
            if is_same {
                first.lanes = Lanes(first.lanes.0 | next.lanes.0);
            }
            is_same
        });
    }

    fn compute(
        &mut self,
        scene: &Scene<'_>,
        active: Lanes,
        (function, of): (Function, Type),
        to: u32,
        from: &[Operand; 4],
    ) {
        for lane in active.iter() {
            let values = from.map(|operand| self.value(scene, operand, lane));
            self.set(to, lane, function.of(of, values));
        }
    }

    fn split(&mut self, scene: &Scene<'_>, active: Lanes, part: Type, to: &[Option<u32>], from: Operand) {
        for lane in active.iter() {
            let whole = self.value(scene, from, lane);
            for (to, shift) in to.iter().zip((0..).step_by(part.bits() as usize)) {
                to.iter().for_each(|to| self.set(*to, lane, part.masked(whole >> shift)));
            }
        }
    }

    fn join(&mut self, scene: &Scene<'_>, active: Lanes, part: Type, to: u32, from: &[Operand]) {
        for lane in active.iter() {
            let parts = from.iter().zip((0..).step_by(part.bits() as usize));
            let whole = parts.map(|(operand, shift)| part.masked(self.value(scene, *operand, lane)) << shift);
            let whole = whole.fold(0, |whole, part| whole | part);
            self.set(to, lane, whole);
        }
    }

    /// What reaches beyond a lane: memory, and other lanes.
    fn exchange(&mut self, scene: &mut Scene<'_>, active: Lanes, instruction: &Instruction) -> Result<(), Fault> {
        match &instruction.operation {
            Operation::Shuffle { .. } | Operation::Vote { .. } => self
                .among_lanes(scene, active, &instruction.operation)
                .map_err(|(lane, trap)| self.fault(scene, lane, instruction, &trap)),
            operation => {
                for lane in active.iter() {
                    self.access(scene, lane, operation)
                        .map_err(|error| self.fault(scene, lane, instruction, &Trap::Access(error)))?;
                }
                Ok(())
            }
        }
    }

    fn access(&mut self, scene: &mut Scene<'_>, lane: u32, operation: &Operation) -> Result<(), AccessError> {
        match operation {
            Operation::Load { of, to, at } => self.load(scene, lane, *of, to, at),
            Operation::Store { of, from, at } => {
                let address = self.address(scene, lane, at, of.bytes as usize * from.len())?;
                for (element, operand) in from.iter().enumerate() {
                    let value = self.value(scene, *operand, lane);
                    scene.reach.store(address + (element * of.bytes as usize) as u64, of.bytes.into(), value)?;
                }
                Ok(())
            }
            Operation::Atomic { of, update, to, at, from } => {
                let address = self.address(scene, lane, at, of.bytes.into())?;
                let [value, other] = from.map(|operand| self.value(scene, operand, lane));
                let changed = |before| update.of(*of, before, value, other);
                let before = scene.reach.update(address, of.bytes.into(), changed)?;
                to.iter().for_each(|to| self.set(*to, lane, before));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn load(
        &mut self,
        scene: &mut Scene<'_>,
        lane: u32,
        of: Type,
        to: &[Option<u32>],
        at: &Address,
    ) -> Result<(), AccessError> {
        let bytes = usize::from(of.bytes);
        let parameter = match at.base {
            Base::Parameter(place) => Some(place + at.offset as usize),
            Base::Generic(_) => None,
        };
        let address = if parameter.is_some() { 0 } else { self.address(scene, lane, at, bytes * to.len())? };
        for (element, to) in to.iter().enumerate() {
            let offset = element * bytes;
            let value = match parameter {
                Some(place) => scene.reach.parameter(place + offset, bytes)?,
                None => scene.reach.load(address + offset as u64, bytes)?,
            };
            let value = if of.is_signed() { of.signed(value) as u64 } else { value };
            to.iter().for_each(|to| self.set(*to, lane, value));
        }
        Ok(())
    }

    fn address(&self, scene: &Scene<'_>, lane: u32, at: &Address, bytes: usize) -> Result<u64, AccessError> {
        let base = match at.base {
            Base::Parameter(place) => return Err(AccessError::Parameter { at: place }),
            Base::Generic(operand) => self.value(scene, operand, lane),
        };
        let address = base.wrapping_add(at.offset as u64);
        check_alignment(address, bytes)?;
        Ok(address)
    }

    fn among_lanes(&mut self, scene: &Scene<'_>, active: Lanes, operation: &Operation) -> Result<(), (u32, Trap)> {
        match *operation {
            Operation::Vote { mode, to, value, is_negated } => {
                let agrees = |lane: &u32| (self.value(scene, value, *lane) != 0) != is_negated;
                let ballot = active.iter().filter(agrees).fold(Lanes(0), Lanes::with);
                let outcome = match mode {
                    VoteMode::Ballot => ballot.0.into(),
                    VoteMode::Any => (!ballot.is_empty()).into(),
                    VoteMode::All => (ballot == active).into(),
                };
                active.iter().for_each(|lane| self.set(to, lane, outcome));
            }
            Operation::Shuffle { mode, to, is_valid, value, lane: by, clamp } => {
                let values: [u64; 32] = std::array::from_fn(|lane| self.value(scene, value, lane as u32));
                for lane in active.iter() {
                    let [by, clamp] = [by, clamp].map(|operand| self.value(scene, operand, lane) as u32);
                    let (source, is_in_range) = mode.source(lane, by, clamp);
                    if !active.has(source) {
                        return Err((lane, Trap::InactiveLane(source)));
                    }
                    self.set(to, lane, values[source as usize] & u64::from(u32::MAX));
                    is_valid.iter().for_each(|to| self.set(*to, lane, is_in_range.into()));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn value(&self, scene: &Scene<'_>, operand: Operand, lane: u32) -> u64 {
        match operand {
            Operand::Register(register) => self.register(register, lane),
            Operand::Value(value) => value,
            Operand::Special(special) => self.special(scene, special, lane).into(),
        }
    }

    fn special(&self, scene: &Scene<'_>, special: Special, lane: u32) -> u32 {
        match special {
            Special::Thread(axis) => self.thread(scene, lane)[axis],
            Special::BlockSize(axis) => scene.launch.block[axis],
            Special::Block(axis) => scene.block[axis],
            Special::GridSize(axis) => scene.launch.grid[axis],
            Special::Lane => lane,
            Special::Warp => self.first_thread / Self::LANES,
        }
    }

    fn thread(&self, scene: &Scene<'_>, lane: u32) -> [u32; 3] {
        let [width, height, _] = scene.launch.block;
        let thread = self.first_thread + lane;
        [thread % width, thread / width % height, thread / (width * height)]
    }

    fn register(&self, register: u32, lane: u32) -> u64 {
        self.registers[(register * Self::LANES + lane) as usize]
    }

    fn set(&mut self, register: u32, lane: u32, value: u64) {
        self.registers[(register * Self::LANES + lane) as usize] = value;
    }

    fn fault(&self, scene: &Scene<'_>, lane: u32, instruction: &Instruction, trap: &Trap) -> Fault {
        let (status, what) = match trap {
            Trap::Access(error @ AccessError::Misaligned { .. }) => (Status::MisalignedAddress, error.to_string()),
            Trap::Access(error) => (Status::IllegalAddress, error.to_string()),
            Trap::InactiveLane(source) => (Status::InvalidValue, format!("lane {source} takes no part in the shuffle")),
        };
        let (kernel, block, thread) = (&scene.launch.kernel.name, scene.block, self.thread(scene, lane));
        let reason =
            format!("kernel `{kernel}`, block {block:?}, thread {thread:?}, at `{}`: {what}", instruction.text);
        Fault::new(status, reason)
    }
}

impl Lanes {
    fn iter(self) -> impl Iterator<Item = u32> + use<> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let lane = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (lane < 32).then_some(lane)
        })
    }

    fn with(self, lane: u32) -> Self {
        Self(self.0 | 1 << lane)
    }

    fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    fn has(self, lane: u32) -> bool {
        self.0 >> lane & 1 == 1
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl ShuffleMode {
    /// Whose value `lane` gets, and whether that lane is in range; one that isn't gets its own.
    ///
    /// Source: PTX ISA, `shfl.sync`: `clamp` has the last lane of a segment below, and which bits name the segment above.
    fn source(self, lane: u32, by: u32, clamp: u32) -> (u32, bool) {
        let (by, segment, last) = (by & 31, clamp >> 8 & 31, clamp & 31);
        let max = (lane & segment) | (last & !segment);
        let (source, is_in_range) = match self {
            Self::Up => (lane.wrapping_sub(by), i64::from(lane) - i64::from(by) >= i64::from(max)),
            Self::Down => (lane + by, lane + by <= max),
            Self::Butterfly => (lane ^ by, lane ^ by <= max),
            Self::Index => {
                let source = (lane & segment) | (by & !segment);
                (source, source <= max)
            }
        };
        if is_in_range { (source, true) } else { (lane, false) }
    }
}

impl Update {
    fn of(self, of: Type, before: u64, value: u64, other: u64) -> u64 {
        let by = |function: Function| function.of(of, [before, value, 0, 0]);
        match self {
            Self::Add => by(Function::Add),
            Self::Minimum => by(Function::Minimum),
            Self::Maximum => by(Function::Maximum),
            Self::And => by(Function::And),
            Self::Or => by(Function::Or),
            Self::Exchange => value,
            Self::CompareAndSwap if of.masked(before) == of.masked(value) => other,
            Self::CompareAndSwap => before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use crate::ptx::Module;

    /// A kernel over `[u32]` at `%base`, of which each thread has the element at `%rd3`.
    fn run(body: &str, threads: u32, len: usize) -> Result<Vec<u32>, Fault> {
        run_on(0, &Memory::default(), body, threads, len)
    }

    /// The same on a device, where the array is of device 0.
    fn run_on(device: usize, memory: &Memory, body: &str, threads: u32, len: usize) -> Result<Vec<u32>, Fault> {
        let text = format!(
            ".version 9.0\n.target sm_80\n.address_size 64\n.visible .entry test(.param .u64 test_param_0) {{
                ld.param.u64 %base, [test_param_0];
                mov.u32 %i, %tid.x;
                mul.wide.u32 %rd2, %i, 4;
                add.s64 %rd3, %base, %rd2;
                {body}
            }}"
        );
        let address = memory.allocate(0, len * 4)?;
        memory.span(address, len * 4)?.fill(0);
        let kernel = Module::parse(&text).unwrap().kernel("test").unwrap().clone();
        let parameters = address.to_le_bytes().to_vec();
        let block = [threads, 1, 1];
        Launch { kernel, device, grid: [1; 3], block, shared_bytes: 0, parameters }.run(memory)?;
        let mut bytes = vec![0; len * 4];
        // SAFETY: as many bytes as the vector has.
        unsafe { memory.span(address, len * 4)?.copy_to(bytes.as_mut_ptr()) };
        Ok(bytes.as_chunks().0.iter().map(|chunk| u32::from_le_bytes(*chunk)).collect())
    }

    #[test]
    fn lanes_part_and_meet_again() {
        let body = "
            and.b32 %odd, %i, 1;
            setp.eq.s32 %p1, %odd, 1;
            @%p1 bra $odd;
            add.s32 %v, %i, 100;
            bra.uni $end;
            $odd: add.s32 %v, %i, 200;
            $end: activemask.b32 %mask;
            popc.b32 %count, %mask;
            mad.lo.s32 %v, %count, 1000, %v;
            st.global.u32 [%rd3], %v;
            ret;";
        assert_eq!(run(body, 4, 4).unwrap(), [4100, 4201, 4102, 4203]);
    }

    #[test]
    fn values_are_taken_apart_and_put_together() {
        let body = "
            mov.u64 %whole, 0x1122334455667788;
            { .reg .b32 tmp; mov.b64 {_, tmp}, %whole; mov.b32 {%low, %high}, tmp; mov.b32 %swapped, {%high, %low}; }
            st.global.u32 [%rd3], %swapped;
            ret;";
        assert_eq!(run(body, 1, 1).unwrap(), [0x3344_1122]);
    }

    #[test]
    fn a_barrier_shows_what_other_warps_wrote() {
        let body = "
            .shared .align 4 .b8 box[256];
            mov.u64 %s, box;
            add.s64 %s1, %s, %rd2;
            st.shared.u32 [%s1], %i;
            bar.sync 0;
            sub.s32 %j, 63, %i;
            mul.wide.u32 %s2, %j, 4;
            add.s64 %s3, %s, %s2;
            ld.shared.u32 %v, [%s3];
            st.global.u32 [%rd3], %v;
            ret;";
        assert_eq!(run(body, 64, 64).unwrap(), (0..64).rev().collect::<Vec<_>>());
    }

    #[test]
    fn shuffles_and_atomics_add_up() {
        let body = "
            shfl.sync.down.b32 %v|%p1, %i, 1, 31, -1;
            st.global.u32 [%rd3], %v;
            red.global.add.u32 [%base+128], %i;
            ret;";
        let mut expected: Vec<u32> = (1..32).chain([31]).collect();
        expected.push((0..32).sum());
        assert_eq!(run(body, 32, 33).unwrap(), expected);
    }

    #[test]
    fn memory_of_another_device_is_reached_once_that_is_allowed() {
        let memory = Memory::default();
        let store = "st.global.u32 [%rd3], 7; ret;";
        let fault = run_on(1, &memory, store, 1, 1).unwrap_err();
        assert!(fault.reason.contains("not within its reach") && fault.reason.contains("of device 0"), "{fault}");
        assert!(memory.add_access([1, 0]));
        assert_eq!(run_on(1, &memory, store, 1, 1).unwrap(), [7]);
    }

    #[test]
    fn a_fault_tells_kernel_block_thread_and_instruction() {
        let fault = run("st.global.u32 [%rd3], %i; ret;", 40, 39).unwrap_err();
        assert_eq!(fault.status, Status::IllegalAddress);
        let begin = "kernel `test`, block [0, 0, 0], thread [39, 0, 0], at `st.global.u32 [%rd3], %i`: 4 bytes at";
        assert!(fault.reason.starts_with(begin), "{fault}");
        assert!(fault.reason.ends_with("byte 156 from the begin of an allocation of 156 bytes of device 0"), "{fault}");
        let fault = run("st.global.v2.u32 [%rd3], {%i, %i}; ret;", 2, 4).unwrap_err();
        assert_eq!(fault.status, Status::MisalignedAddress);
        assert!(fault.reason.contains("thread [1, 0, 0]"), "{fault}");
        let fault =
            run(".shared .align 4 .b8 box[4]; mov.u64 %s, box; ld.shared.u32 %v, [%s+4]; ret;", 1, 1).unwrap_err();
        assert!(fault.reason.contains("byte 4 of shared memory, which has 4"), "{fault}");
    }
}

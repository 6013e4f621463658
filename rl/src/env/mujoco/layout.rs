//! Where the fields that no function gives lie in MuJoCo's structs.

/// Offsets in bytes within `mjData`, and within `mjModel` for `body_mass`, on 64-bit machines.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// What `mj_version` says.
    pub version: i32,
    pub qpos: usize,
    pub xpos: usize,
    pub xipos: usize,
    pub cinert: usize,
    pub cvel: usize,
    pub qfrc_actuator: usize,
    pub cfrc_ext: usize,
    pub body_mass: usize,
}

/// As `rl/tests/mujoco/layouts.py` prints them: a layout may change with any version, so that none is guessed.
pub const LAYOUTS: &[Layout] = &[
    Layout {
        version: 316,
        qpos: 161656,
        xpos: 161792,
        xipos: 161816,
        cinert: 161928,
        cvel: 162160,
        qfrc_actuator: 162328,
        cfrc_ext: 162384,
        body_mass: 1464,
    },
    Layout {
        version: 327,
        qpos: 161656,
        xpos: 161792,
        xipos: 161816,
        cinert: 161928,
        cvel: 162176,
        qfrc_actuator: 162400,
        cfrc_ext: 162456,
        body_mass: 1488,
    },
    Layout {
        version: 337,
        qpos: 161656,
        xpos: 161792,
        xipos: 161816,
        cinert: 161928,
        cvel: 162184,
        qfrc_actuator: 162304,
        cfrc_ext: 162360,
        body_mass: 1496,
    },
    Layout {
        version: 340,
        qpos: 161672,
        xpos: 161816,
        xipos: 161840,
        cinert: 161952,
        cvel: 162248,
        qfrc_actuator: 162368,
        cfrc_ext: 162424,
        body_mass: 1504,
    },
    Layout {
        version: 3005000,
        qpos: 161672,
        xpos: 161824,
        xipos: 161848,
        cinert: 161960,
        cvel: 162248,
        qfrc_actuator: 162368,
        cfrc_ext: 162424,
        body_mass: 1864,
    },
    Layout {
        version: 3006000,
        qpos: 161672,
        xpos: 161824,
        xipos: 161848,
        cinert: 161960,
        cvel: 162224,
        qfrc_actuator: 162344,
        cfrc_ext: 162400,
        body_mass: 1872,
    },
    Layout {
        version: 3007000,
        qpos: 161664,
        xpos: 161816,
        xipos: 161840,
        cinert: 161952,
        cvel: 162216,
        qfrc_actuator: 162336,
        cfrc_ext: 162392,
        body_mass: 1872,
    },
    Layout {
        version: 3008001,
        qpos: 161664,
        xpos: 161816,
        xipos: 161840,
        cinert: 161952,
        cvel: 162216,
        qfrc_actuator: 162336,
        cfrc_ext: 162392,
        body_mass: 1888,
    },
    Layout {
        version: 3009000,
        qpos: 161672,
        xpos: 161824,
        xipos: 161848,
        cinert: 161960,
        cvel: 162224,
        qfrc_actuator: 162344,
        cfrc_ext: 162400,
        body_mass: 1888,
    },
    Layout {
        version: 3010000,
        qpos: 160664,
        xpos: 160816,
        xipos: 160840,
        cinert: 160952,
        cvel: 161216,
        qfrc_actuator: 161336,
        cfrc_ext: 161392,
        body_mass: 1888,
    },
    Layout {
        version: 3011000,
        qpos: 160680,
        xpos: 160832,
        xipos: 160856,
        cinert: 160968,
        cvel: 161232,
        qfrc_actuator: 161360,
        cfrc_ext: 161416,
        body_mass: 1944,
    },
    Layout {
        version: 3012000,
        qpos: 160680,
        xpos: 160832,
        xipos: 160856,
        cinert: 160968,
        cvel: 161232,
        qfrc_actuator: 161360,
        cfrc_ext: 161416,
        body_mass: 1944,
    },
    Layout {
        version: 3013000,
        qpos: 160688,
        xpos: 160840,
        xipos: 160864,
        cinert: 160976,
        cvel: 161240,
        qfrc_actuator: 161368,
        cfrc_ext: 161424,
        body_mass: 1944,
    },
    Layout {
        version: 3014000,
        qpos: 160688,
        xpos: 160840,
        xipos: 160864,
        cinert: 160976,
        cvel: 161256,
        qfrc_actuator: 161384,
        cfrc_ext: 161440,
        body_mass: 1944,
    },
    Layout {
        version: 3015000,
        qpos: 160688,
        xpos: 160840,
        xipos: 160864,
        cinert: 160976,
        cvel: 161280,
        qfrc_actuator: 161408,
        cfrc_ext: 161464,
        body_mass: 1936,
    },
    Layout {
        version: 3016000,
        qpos: 160688,
        xpos: 160840,
        xipos: 160864,
        cinert: 160976,
        cvel: 161280,
        qfrc_actuator: 161408,
        cfrc_ext: 161464,
        body_mass: 1944,
    },
    Layout {
        version: 3017000,
        qpos: 160688,
        xpos: 160840,
        xipos: 160864,
        cinert: 160976,
        cvel: 161280,
        qfrc_actuator: 161408,
        cfrc_ext: 161464,
        body_mass: 1944,
    },
    Layout {
        version: 4000000,
        qpos: 160688,
        xpos: 160848,
        xipos: 160872,
        cinert: 161008,
        cvel: 161296,
        qfrc_actuator: 161424,
        cfrc_ext: 161480,
        body_mass: 1944,
    },
    Layout {
        version: 4000001,
        qpos: 160688,
        xpos: 160848,
        xipos: 160872,
        cinert: 161008,
        cvel: 161296,
        qfrc_actuator: 161424,
        cfrc_ext: 161480,
        body_mass: 1944,
    },
];

impl Layout {
    /// The layout of a version.
    pub fn of(version: i32) -> Option<&'static Self> {
        LAYOUTS.iter().find(|layout| layout.version == version)
    }
}

/// A version as people write it: 337 was 3.3.7, 3005000 is 3.5.0.
pub fn version_name(version: i32) -> String {
    match version {
        ..1_000_000 => format!("{}.{}.{}", version / 100, version / 10 % 10, version % 10),
        _ => format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_order_and_have_names() {
        assert!(LAYOUTS.is_sorted_by_key(|layout| layout.version));
        assert_eq!(version_name(337), "3.3.7");
        assert_eq!(version_name(3_005_000), "3.5.0");
        assert_eq!(version_name(4_000_001), "4.0.1");
        assert!(Layout::of(1).is_none() && Layout::of(4_000_000).is_some());
    }
}

//! What the machine pretends to be.

/// The environment variable that says it.
pub const VARIABLE: &str = "RAYLINE_FAKE_CUDA";

/// The pretended devices, all alike.
///
/// Read from `RAYLINE_FAKE_CUDA`, such as `devices=2,memory_mib=1024,capability=8.0,lag_us=0`: these are the values of what is not
/// named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many there are.
    pub device_count: usize,
    /// Of each device.
    pub memory_bytes: usize,
    /// Major and minor number.
    pub capability: [i32; 2],
    /// Time that each piece of work waits before it begins, in microseconds, so that who doesn't wait for it is found out.
    pub lag_us: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { device_count: 2, memory_bytes: 1 << 30, capability: [8, 0], lag_us: 0 }
    }
}

impl Config {
    /// What the environment says.
    ///
    /// # Errors
    /// Which part is not understood.
    pub fn from_env() -> Result<Self, String> {
        match std::env::var(VARIABLE) {
            Ok(text) => Self::parse(&text),
            Err(_) => Ok(Self::default()),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut config = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            config.set(part).ok_or_else(|| format!("{VARIABLE}: `{part}` is not understood"))?;
        }
        Ok(config)
    }

    fn set(&mut self, part: &str) -> Option<()> {
        let (name, value) = part.split_once('=')?;
        match name {
            "devices" => self.device_count = value.parse().ok()?,
            "memory_mib" => self.memory_bytes = value.parse::<usize>().ok()?.checked_mul(1 << 20)?,
            "capability" => {
                let (major, minor) = value.split_once('.')?;
                self.capability = [major.parse().ok()?, minor.parse().ok()?];
            }
            "lag_us" => self.lag_us = value.parse().ok()?,
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_change_what_they_name_alone() {
        let config = Config::parse("devices=8, memory_mib=16,capability=9.0").unwrap();
        assert_eq!(config, Config { device_count: 8, memory_bytes: 16 << 20, capability: [9, 0], lag_us: 0 });
        assert_eq!(Config::parse(""), Ok(Config::default()));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for part in ["devices", "devices=x", "capability=9", "color=red"] {
            assert!(Config::parse(part).unwrap_err().contains(part));
        }
    }
}

//! What Linux tells about processes.

#[cfg(unix)]
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The open files of a process.
pub fn descriptors(pid: u32) -> usize {
    // the directory itself is open while it is read
    let own = usize::from(pid == std::process::id());
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |it| it.count().saturating_sub(own))
}

/// The resident set of a process, in bytes; none if it is gone, or elsewhere than on Linux.
pub fn resident(pid: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: usize = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Starts this program again with as many file descriptors as the system allows.
#[cfg(unix)]
pub fn raise_file_limit() {
    if std::env::var_os("FILE_LIMIT_RAISED").is_some() {
        return;
    }
    let error = Command::new("sh")
        .args(["-c", "ulimit -n $(ulimit -Hn) && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().expect("the path of this program"))
        .args(std::env::args().skip(1))
        .env("FILE_LIMIT_RAISED", "yes")
        .exec();
    panic!("sh: {error}");
}

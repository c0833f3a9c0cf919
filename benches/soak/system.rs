//! What Linux tells about processes.

use std::process::Command;

/// The open files of a process.
pub fn descriptors(pid: u32) -> usize {
    // the directory itself is open while it is read
    let own = usize::from(pid == std::process::id());
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |it| it.count().saturating_sub(own))
}

/// The resident set of a process, in bytes; 0 if it is gone.
pub fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Starts this program again with as many file descriptors as the system allows.
pub fn raise_file_limit() {
    use std::os::unix::process::CommandExt;
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

//! The few things of Linux that `std` does not have. All `unsafe` of this program that is about the
//! system is here.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// The processors this process may run on.
pub fn cpus() -> Vec<usize> {
    // SAFETY: an all-zero set is a valid one, and the call writes no more than its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
        set
    };
    // SAFETY: the index is below the size of the set.
    (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

/// Lets the program run on these processors only, and end when this one ends, however it ends.
pub fn bind_child(command: &mut Command, cpus: &[usize]) {
    let cpus = cpus.to_vec();
    let child = move || {
        // SAFETY: system calls alone, which are allowed between fork and exec.
        let failed = unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            cpus.iter().for_each(|&cpu| libc::CPU_SET(cpu, &mut set));
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) != 0
                || libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0
        };
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { command.pre_exec(child) };
}

/// Lets everything else on its processor go before the program.
pub fn yield_to_others(command: &mut Command) {
    let child = || {
        // SAFETY: a system call alone, which is allowed between fork and exec. It cannot fail:
        // anybody may be nicer.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
        Ok(())
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { command.pre_exec(child) };
}

/// Moves this thread to one processor.
pub fn bind_thread(cpu: usize) {
    // SAFETY: a set on the stack, read by the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// As many file descriptors as the system allows, for this process and those it starts.
pub fn raise_file_limit() -> usize {
    // SAFETY: the calls read and write the structure on the stack.
    unsafe {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
        limit.rlim_cur as usize
    }
}

/// The processor time that a process has used up to now: all its threads, those that ended too.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    // SAFETY: both calls write to variables on the stack.
    unsafe {
        let mut clock = 0;
        let error = libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock);
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        if libc::clock_gettime(clock, &mut time) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }
}

/// Closing will reset the connection: its port is free at once.
pub fn reset_on_close(socket: &impl AsRawFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the option is a `linger`, which outlives the call.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        );
    }
}

/// The resident set of a process, in bytes.
pub fn resident(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

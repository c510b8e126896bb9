//! Many processes, one lock.

use std::time::Duration;

use super::child::Process;

#[test]
fn no_update_is_lost_and_no_process_is_starved() {
    const PROCESSES: usize = 6;
    let dir = tempfile::tempdir().unwrap();
    let locks = dir.path().join("locks");
    std::fs::write(dir.path().join("counter"), "0").unwrap();
    let mut processes: Vec<_> =
        (0..PROCESSES).map(|_| Process::start("count", &locks, Duration::from_secs(2))).collect();
    for process in &mut processes {
        assert_eq!(process.hear(), "ready");
    }
    for process in &mut processes {
        process.say("go");
    }
    let times: Vec<u64> = processes.iter_mut().map(|process| process.hear().parse().unwrap()).collect();
    let counted: u64 = std::fs::read_to_string(dir.path().join("counter")).unwrap().parse().unwrap();
    println!("times {times:?}");
    assert_eq!(times.iter().sum::<u64>(), counted, "an update was lost: {times:?}");
    let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(least * 10 >= *most && *least > 0, "unfair: {times:?}");
}

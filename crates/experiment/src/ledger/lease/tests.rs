use super::*;

fn id(number: u64) -> RunId {
    format!("{number:016x}").parse().unwrap()
}

/// Until `found` says yes, five seconds at most.
fn wait_for(mut found: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        if found() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn is_taken(locks: &Path, id: RunId) -> Result<bool, LedgerError> {
    super::is_taken(locks, id, server_time)
}

fn take(locks: &Path, id: RunId, secs: u64) -> Result<Option<Lease>, LedgerError> {
    super::take(&Disk::within(locks), locks, id, secs)
}

#[test]
fn a_lease_is_one_holders_as_long_as_it_is_heard_of() {
    let locks = tempfile::tempdir().unwrap();
    let lease = take(locks.path(), id(1), 3).unwrap().unwrap();
    // Longer than the term: the heart beats on.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        assert!(take(locks.path(), id(1), 3).unwrap().is_none());
        assert!(is_taken(locks.path(), id(1)).unwrap());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(!is_taken(locks.path(), id(2)).unwrap(), "of another run nothing is known");
    drop(lease);
    assert!(!is_taken(locks.path(), id(1)).unwrap(), "given back, it is free at once");
    assert!(take(locks.path(), id(1), 1).unwrap().is_some());
}

#[test]
fn a_dead_hosts_lease_expires_and_one_heir_gets_it() {
    let locks = tempfile::tempdir().unwrap();
    for round in 0..3 {
        take(locks.path(), id(round), 1).unwrap().unwrap().die();
        assert!(take(locks.path(), id(round), 1).unwrap().is_none(), "not before its term is over");
        // Eight hosts want it at once.
        let heirs: usize = std::thread::scope(|scope| {
            let want = || {
                let mut lease = None;
                wait_for(|| {
                    lease = take(locks.path(), id(round), 3).unwrap();
                    lease.is_some()
                        || is_taken(locks.path(), id(round)).unwrap()
                            && highest(&folder(locks.path(), id(round))).unwrap() > Some(1)
                });
                lease
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(want)).collect();
            // All are kept until all have tried.
            let leases: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            leases.into_iter().flatten().count()
        });
        assert_eq!(heirs, 1);
    }
}

#[test]
fn a_holder_that_was_stalled_finds_that_it_has_lost() {
    let locks = tempfile::tempdir().unwrap();
    let mut stalled = take(locks.path(), id(1), 1).unwrap().unwrap();
    stalled.stop();
    let mut heir = None;
    assert!(wait_for(|| {
        heir = take(locks.path(), id(1), 30).unwrap();
        heir.is_some()
    }));
    let hold = Hold::Lease(stalled);
    assert!(matches!(hold.check(id(1)), Err(LedgerError::Lost { .. })));
    drop(hold);
    assert!(is_taken(locks.path(), id(1)).unwrap(), "what is lost is not given back in its heir's place");
    Hold::Lease(heir.unwrap()).check(id(1)).unwrap();
}

#[test]
fn a_number_that_is_free_again_is_no_lease() {
    let locks = tempfile::tempdir().unwrap();
    let _holder = take(locks.path(), id(1), 30).unwrap().unwrap();
    let folder = folder(locks.path(), id(1));
    // Between this host's look (at nothing) and its file, two others came.
    fs::rename(folder.join("1"), folder.join("2")).unwrap();
    assert!(Lease::create(&folder, 1, 30).unwrap().is_none());
    assert_eq!(numbers(&folder).unwrap(), [2]);
}

#[test]
fn a_clock_that_went_backwards_leaves_one_holder() {
    let locks = tempfile::tempdir().unwrap();
    let mut old = take(locks.path(), id(1), 30).unwrap().unwrap();
    old.stop();
    let stamped = SystemTime::now() + Duration::from_secs(3_600);
    let path = folder(locks.path(), id(1)).join("1");
    File::options().write(true).open(path).unwrap().set_modified(stamped).unwrap();
    // Nobody can tell how old it is: it is not waited for until the clock is there again.
    let heir = take(locks.path(), id(1), 30).unwrap().unwrap();
    old.shared.keep();
    assert!(old.is_lost() && !heir.is_lost());
}

#[test]
fn a_file_that_is_no_lease_holds_nobody_off_for_ever() {
    let locks = tempfile::tempdir().unwrap();
    let folder = folder(locks.path(), id(1));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("7"), "{").unwrap();
    assert!(is_taken(locks.path(), id(1)).unwrap(), "it may be a lease of a moment ago");
    let old = SystemTime::now() - Duration::from_secs(60);
    File::options().write(true).open(folder.join("7")).unwrap().set_modified(old).unwrap();
    let lease = take(locks.path(), id(1), 1).unwrap().unwrap();
    assert_eq!(lease.shared.number, 8);
    assert_eq!(numbers(&folder).unwrap(), [8]);
}

#[test]
fn claims_are_read_as_typed() {
    assert_eq!("locks".parse(), Ok(Claims::Locks));
    assert_eq!("leases".parse(), Ok(Claims::LEASES));
    assert_eq!("leases:5".parse(), Ok(Claims::Leases { secs: 5 }));
    for text in ["", "leases:", "leases:0", "leases:x", "lock"] {
        assert!(text.parse::<Claims>().is_err(), "{text}");
    }
}

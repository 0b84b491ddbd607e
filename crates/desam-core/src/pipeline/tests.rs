use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::yield_now;

type Outcome<T> = Result<T, String>;

fn broken<T>(what: &str) -> Outcome<T> {
    Err(what.to_owned())
}

/// The message that `body` panics with.
fn panic_message(body: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(body)).unwrap_err();
    let message = payload.downcast_ref::<&str>().map(ToString::to_string);
    message.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap()
}

#[test]
fn prefetch_keeps_the_order_and_reads_no_further_ahead_than_allowed() {
    for ahead in [0, 1, 2, 5, 40] {
        let (read, mut seen) = (AtomicUsize::new(0), Vec::new());
        let reading = |index| {
            read.fetch_add(1, Ordering::SeqCst);
            Outcome::Ok(index * index)
        };
        let work = |square| {
            // The item at work counts too.
            let begun = read.load(Ordering::SeqCst);
            assert!(begun <= seen.len() + 1 + ahead, "{begun} at {} of {ahead}", seen.len());
            yield_now();
            seen.push(square);
            Ok(())
        };
        prefetch(23, ahead, reading, work).unwrap();
        assert_eq!(seen, (0..23).map(|i| i * i).collect::<Vec<_>>());
        prefetch(0, ahead, |_| Ok(()), |()| broken("never")).unwrap();
    }
}

#[test]
fn prefetch_returns_an_error_when_its_turn_comes_and_ends_both_sides() {
    for ahead in [0, 1, 3] {
        let mut worked = 0;
        let read = |index| if index < 4 { Ok(index) } else { broken("slice 4") };
        let error = prefetch(9, ahead, read, |_| {
            worked += 1;
            Ok(())
        });
        assert_eq!(error, broken("slice 4"));
        assert_eq!(worked, 4, "ahead {ahead}");
        let error = prefetch(900, ahead, Ok, |i| if i < 2 { Ok(()) } else { broken("work") });
        assert_eq!(error, broken("work"));
    }
}

#[test]
fn prefetch_propagates_panics_of_both_sides() {
    for ahead in [0, 1, 3] {
        let read = |index| {
            assert!(index < 3, "in reading");
            Outcome::Ok(index)
        };
        let message = panic_message(|| prefetch(9, ahead, read, |_| Ok(())).unwrap());
        assert_eq!(message, "in reading");
        let work = |_| -> Outcome<()> { panic!("at work") };
        assert_eq!(panic_message(|| prefetch(9, ahead, Ok, work).unwrap()), "at work");
    }
}

#[test]
fn three_stages_keep_the_order_and_hold_at_most_three_items() {
    let (read, mut written) = (AtomicUsize::new(0), Vec::new());
    let done = AtomicUsize::new(0);
    let reading = |item: usize| {
        let begun = read.fetch_add(1, Ordering::SeqCst) + 1;
        let in_flight = begun - done.load(Ordering::SeqCst);
        // One in each stage. The writer counts an item as done just before it takes the next.
        assert!(in_flight <= 3 + 1, "{in_flight} in flight");
        Outcome::Ok(item)
    };
    let compute = |item| {
        yield_now();
        Ok(item * item)
    };
    let write = |square| {
        yield_now();
        written.push(square);
        done.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    three_stage(0..23, reading, compute, write).unwrap();
    assert_eq!(written, (0..23).map(|i| i * i).collect::<Vec<_>>());
    three_stage(0..0, Outcome::Ok, Ok, |_| broken("never")).unwrap();
}

#[test]
fn three_stages_write_what_comes_before_the_first_error() {
    // (the item that fails in reading, in computing, in writing, and who is first in order)
    let none = usize::MAX;
    for (read_at, compute_at, write_at, expected) in [
        (4, none, none, "read 4"),
        (none, 4, none, "compute 4"),
        (none, none, 4, "write 4"),
        (4, 3, none, "compute 3"),
        (4, 3, 2, "write 2"),
        (2, 3, 4, "read 2"),
    ] {
        let fail = |stage: &str, at: usize, item: usize| {
            if item == at { Err(format!("{stage} {item}")) } else { Ok(item) }
        };
        let mut written = Vec::new();
        let outcome = three_stage(
            0..900,
            |item| fail("read", read_at, item),
            |item| fail("compute", compute_at, item),
            |item| {
                written.push(fail("write", write_at, item)?);
                Ok(())
            },
        );
        assert_eq!(outcome, broken(expected));
        let first = read_at.min(compute_at).min(write_at);
        assert_eq!(written, (0..first).collect::<Vec<_>>(), "{expected}");
    }
}

#[test]
fn three_stages_propagate_panics_of_every_stage() {
    for stage in ["read", "compute", "write"] {
        let panic_in = |now: &str, item: usize| {
            assert!(now != stage || item < 3, "in {stage}");
            Outcome::Ok(item)
        };
        let run = || {
            let (read, compute) = (|i| panic_in("read", i), |i| panic_in("compute", i));
            three_stage(0..900, read, compute, |i| panic_in("write", i).map(|_| ())).unwrap();
        };
        assert_eq!(panic_message(run), format!("in {stage}"));
    }
}

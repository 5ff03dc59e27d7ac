//! Tests of the ownership word alone: what each thread may do with the token.

use super::word::{BlockRef, Sent, Settled, Word};

/// Returns a word of owner 1 whose token is out: thread 2 has sent a block.
fn sent() -> Word {
    let word = Word::new();
    word.adopt_new(1);
    assert!(matches!(word.send(2, BlockRef(1), 1, |_| ()), Sent::Notify));
    word
}

/// Returns whether the token is out. If it is, the next sender does not get it.
fn is_out(word: &Word) -> bool {
    let before = word.remote_count();
    let sent = word.send(2, BlockRef(2), 1, |_| ());
    assert_eq!(word.remote_count(), before + 1, "the block is on the list");
    matches!(sent, Sent::Queued)
}

#[test]
fn the_token_is_dropped_only_while_the_owner_is_the_one_whose_mailbox_was_closed() {
    let word = sent();
    for other in [0, 2, 3] {
        assert!(!word.drop_token(other), "owner 1 has the span, not {other}");
        assert!(is_out(&word), "nothing was done");
    }
    assert!(word.drop_token(1));
    assert!(!is_out(&word), "the next sender has it");
    // The span changes its owner while the token is out.
    let word = sent();
    word.take();
    assert!(word.abandon(1, false));
    assert!(!word.drop_token(1));
    assert!(word.claim(3).is_some());
    assert!(!word.drop_token(1) && is_out(&word) && word.drop_token(3));
}

#[test]
fn the_token_is_consumed_by_the_owner_or_where_there_is_none() {
    let word = sent();
    assert!(matches!(word.settle(2), Settled::Other(1)) && is_out(&word));
    assert!(matches!(word.settle(1), Settled::Mine(taken) if taken.count == 2));
    assert!(word.retire(1), "no token is out");
    let word = sent();
    word.take();
    assert!(!word.retire(1), "a span whose token is out stays");
    assert!(word.leave_to_token(1));
    assert!(matches!(word.settle(2), Settled::Mine(taken) if taken.count == 0) && word.owner() == 2);
}

#[test]
fn the_token_is_taken_again_only_where_a_list_waits_and_no_thread_has_it() {
    let word = sent();
    assert!(!word.take_token(), "a thread has it");
    assert!(word.drop_token(1) && word.take_token());
    assert!(is_out(&word) && word.remote_count() == 2);
    word.take();
    assert!(word.drop_token(1) && !word.take_token(), "no list waits");
    assert!(
        word.abandon(1, false) && !word.take_token(),
        "there is no owner to tell"
    );
}

//! Tests that messages come out whole, wherever the body is split into frames.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, task::Waker};

use http_body::Frame;

use super::*;
use crate::transport::ledger::{Bounds, Ledger, Subject};

/// A body of these frames, which then ends.
struct Frames(VecDeque<Bytes>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|frame| Ok(Frame::data(frame))))
    }
}

fn body(messages: &[&[u8]]) -> Vec<u8> {
    let framed = messages.iter().map(|message| {
        let len = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0], &len[..], message].concat()
    });
    framed.flatten().collect()
}

fn messages<B>(body: B, limit: usize) -> Messages<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    Messages::new(body, limit, lease(), Duration::from_secs(30))
}

fn lease() -> Lease {
    let bounds = Bounds {
        all: 1 << 20,
        peer: 1 << 20,
    };
    Arc::new(Ledger::new(Subject::Unfinished, bounds)).lease(None)
}

fn read(frames: impl IntoIterator<Item = Vec<u8>>, limit: usize) -> Vec<Result<Bytes, Broken>> {
    let frames = frames.into_iter().map(Bytes::from).collect();
    let mut messages = messages(Frames(frames), limit);
    let mut context = Context::from_waker(Waker::noop());
    let mut all = Vec::new();
    loop {
        match messages.poll_next(&mut context) {
            Poll::Ready(Some(message)) => {
                let broken = message.is_err();
                all.push(message);
                if broken {
                    return all;
                }
            }
            Poll::Ready(None) => return all,
            Poll::Pending => panic!("the body never waits"),
        }
    }
}

#[test]
fn messages_come_out_whole_wherever_the_body_is_cut() {
    let sent: [&[u8]; 4] = [b"first", b"", b"a longer third message", b"4"];
    let body = body(&sent);
    for size in 1..=body.len() {
        let frames = body.chunks(size).map(<[u8]>::to_vec);
        let read: Vec<Bytes> = read(frames, 100).into_iter().map(Result::unwrap).collect();
        assert_eq!(read, sent, "cut into pieces of {size}");
    }
}

#[test]
fn message_in_one_frame_is_not_copied() {
    let frame = body(&[b"whole"]);
    let at = frame.as_ptr();
    let read = read([frame], 100);
    assert_eq!(read[0].as_ref().unwrap().as_ptr(), at.wrapping_add(PREFIX));
}

#[test]
fn message_over_the_limit_is_refused_by_its_prefix() {
    let whole = body(&[b"12345678"]);
    assert_eq!(read([whole.clone()], 8).len(), 1);
    let refused = read([whole[..PREFIX].to_vec()], 7);
    assert!(matches!(refused[0], Err(Broken::Large(8, 7))), "{refused:?}");
}

#[test]
fn compressed_message_and_broken_end_are_refused() {
    let compressed = read([vec![1, 0, 0, 0, 1, 0]], 100);
    assert!(matches!(compressed[0], Err(Broken::Prefix)), "{compressed:?}");
    for cut in [3, 7] {
        let broken = read([body(&[b"message"])[..cut].to_vec()], 100);
        assert!(matches!(broken[0], Err(Broken::End)), "{broken:?}");
    }
}

/// A body of these frames, which then stalls.
struct Stalls(VecDeque<Bytes>);

impl Body for Stalls {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = self.0.pop_front().map(|frame| Ok(Frame::data(frame)));
        if frame.is_some() {
            Poll::Ready(frame)
        } else {
            Poll::Pending
        }
    }
}

#[tokio::test]
async fn message_that_stays_unfinished_is_given_up() {
    let [whole, part] = [body(&[b"message"]), body(&[b"message"])[..7].to_vec()];
    let frames = Stalls([whole.into(), part.into()].into());
    let mut messages = Messages::new(frames, 100, lease(), Duration::from_millis(1));
    let next = std::future::poll_fn(|cx| messages.poll_next(cx)).await;
    assert_eq!(next.unwrap().unwrap(), &b"message"[..]);
    let next = std::future::poll_fn(|cx| messages.poll_next(cx)).await;
    assert!(matches!(next, Some(Err(Broken::Slow(_)))), "{next:?}");
}

#[tokio::test]
async fn stream_without_an_unfinished_message_may_wait_for_ever() {
    let mut context = Context::from_waker(Waker::noop());
    let mut messages = messages(Stalls([body(&[b"message"]).into()].into()), 100);
    assert!(messages.poll_next(&mut context).is_ready());
    assert!(messages.poll_next(&mut context).is_pending());
    assert!(!messages.due.is_set());
}

#[test]
fn unfinished_messages_count_until_they_are_whole() {
    let bounds = Bounds {
        all: 512 << 10,
        peer: 512 << 10,
    };
    let unfinished = Arc::new(Ledger::new(Subject::Unfinished, bounds));
    let whole = body(&[&vec![7; 300 << 10]]);
    let open = |bytes: &[u8]| {
        let frames = bytes.chunks(16 << 10).map(Bytes::copy_from_slice).collect();
        Messages::new(Stalls(frames), 1 << 20, unfinished.lease(None), Duration::MAX)
    };
    let mut context = Context::from_waker(Waker::noop());
    let mut held = open(&whole[..200 << 10]);
    assert!(held.poll_next(&mut context).is_pending());
    assert_eq!(unfinished.bytes(), 256 << 10);
    let mut second = open(&whole);
    let refused = second.poll_next(&mut context);
    assert!(
        matches!(refused, Poll::Ready(Some(Err(Broken::Full(_))))),
        "{refused:?}"
    );
    drop((held, second));
    let mut third = open(&whole);
    assert!(matches!(third.poll_next(&mut context), Poll::Ready(Some(Ok(_)))));
    assert_eq!(
        unfinished.bytes(),
        PREFIX + (300 << 10),
        "it is whole, and not done with"
    );
    third.release();
    assert_eq!(unfinished.bytes(), 0);
}

/// A body of empty frames without end.
struct Nothing(usize);

impl Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0 += 1;
        assert!(self.0 < 1_000_000, "nothing is read for ever");
        Poll::Ready(Some(Ok(Frame::data(Bytes::new()))))
    }
}

#[test]
fn frames_without_bytes_give_way_to_others() {
    let mut messages = messages(Nothing(0), 100);
    let mut context = Context::from_waker(Waker::noop());
    for turn in 1..=3 {
        assert!(messages.poll_next(&mut context).is_pending());
        assert_eq!(messages.body.0, turn * FRAMES_PER_TURN);
    }
}

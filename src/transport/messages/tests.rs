//! Messages come out whole, however the body is cut.

use std::{collections::VecDeque, convert::Infallible, task::Waker};

use http_body::Frame;

use super::*;

/// A body of given frames, then its end.
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

fn read(frames: impl IntoIterator<Item = Vec<u8>>, limit: usize) -> Vec<Result<Bytes, Status>> {
    let frames = frames.into_iter().map(Bytes::from).collect();
    let mut messages = Messages::new(Frames(frames), limit);
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
    assert_eq!(refused[0].as_ref().unwrap_err().code(), Code::OutOfRange);
}

#[test]
fn compressed_message_and_broken_end_are_refused() {
    let compressed = read([vec![1, 0, 0, 0, 1, 0]], 100);
    assert_eq!(compressed[0].as_ref().unwrap_err().code(), Code::Internal);
    for cut in [3, 7] {
        let broken = read([body(&[b"message"])[..cut].to_vec()], 100);
        assert_eq!(broken[0].as_ref().unwrap_err().code(), Code::Internal);
    }
}

//! Messages between threads: `channels TIMES`. Two threads parse lines into messages, two turn each
//! into an answer, and the main thread counts the answers. All blocks of a message are made by one
//! thread and dropped by another.

use std::collections::HashMap;
use std::sync::mpsc::{channel, sync_channel, Receiver, Sender, SyncSender};
use std::thread;

enum Message {
    Text(String),
    Fields(HashMap<String, String>),
    Tree(Box<Tree>),
}

struct Tree {
    name: String,
    children: Vec<Tree>,
}

fn tree(seed: u64, depth: u64) -> Tree {
    let children = if depth == 0 { 0 } else { 1 + seed % 3 };
    Tree {
        name: format!("node {seed} of depth {depth}"),
        children: (0..children).map(|child| tree(seed / 3 + child, depth - 1)).collect(),
    }
}

fn size(tree: &Tree) -> usize {
    tree.name.len() + tree.children.iter().map(size).sum::<usize>()
}

fn make(requests: &SyncSender<Message>, from: u64, count: u64) {
    for seed in (0..count).map(|number| number * 2 + from) {
        let message = match seed % 5 {
            0 | 1 => Message::Text("word ".repeat((seed % 60) as usize)),
            2 | 3 => {
                let field = |place: u64| (format!("field {place}"), format!("value {}", seed * place));
                Message::Fields((0..seed % 11).map(field).collect())
            }
            _ => Message::Tree(Box::new(tree(seed, 4))),
        };
        requests.send(message).expect("a receiver");
    }
}

fn answer(requests: &Receiver<Message>, answers: &Sender<Vec<String>>) {
    for message in requests {
        let words = match message {
            Message::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
            Message::Fields(fields) => fields
                .into_iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect(),
            Message::Tree(tree) => vec![tree.name.clone(), size(&tree).to_string()],
        };
        answers.send(words).expect("a receiver");
    }
}

fn main() {
    let times: u64 = std::env::args()
        .nth(1)
        .map_or(1, |word| word.parse().expect("a number"));
    let (answers, gathered) = channel();
    for maker in 0..2 {
        let (requests, received) = sync_channel(1000);
        let answers = answers.clone();
        thread::spawn(move || make(&requests, maker, 25_000 * times));
        thread::spawn(move || answer(&received, &answers));
    }
    drop(answers);
    let (mut words, mut bytes) = (0, 0);
    for answer in gathered {
        words += answer.len();
        bytes += answer.iter().map(String::len).sum::<usize>();
    }
    println!("{words} {bytes}");
}

//! Cuts the map into cells of equal length, for pictures. A cell shows the use of most of its
//! pages.

use super::{Arena, HeapMap, Kind, Run, Usage};

/// One piece of an arena.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    /// The kind of most of its pages.
    pub(super) kind: Kind,
    /// In its pages with spans of small objects: the bytes of objects, and the bytes for which
    /// there is room.
    pub(super) live: u64,
    pub(super) room: u64,
    /// The pages in use, and all pages; fewer at an arena's end.
    pub(super) used: u64,
    pub(super) pages: u64,
    /// The run at its first page, and whether a run begins in the cell.
    pub(super) first: Run,
    pub(super) begins: bool,
}

impl Cell {
    /// Returns how full the spans of small objects are, in quarters: 1 to 4.
    pub(super) fn quarter(&self) -> usize {
        let quarters = (self.live * 4).div_ceil(self.room.max(1));
        (quarters as usize).clamp(1, 4)
    }
}

/// Returns the pages of a cell: a power of two times `least`, so that `map` has at most `most` rows
/// of `columns` cells.
pub(super) fn pages_per_cell(map: &HeapMap, columns: u64, least: u64, most: u64) -> u64 {
    let rows = |pages: u64| -> u64 {
        let row = pages * columns * HeapMap::PAGE_BYTES;
        map.arenas.iter().map(|arena| arena.ready().div_ceil(row)).sum()
    };
    let mut pages = least;
    while rows(pages) > most.max(map.arenas.len() as u64) {
        pages *= 2;
    }
    pages
}

/// Returns the cells of an arena, `pages` pages each.
pub(super) fn cells(arena: &Arena, pages: u64) -> impl Iterator<Item = Cell> + '_ {
    let mut runs = arena.runs.iter().copied();
    let mut current = runs.next();
    // The pages of the current run that earlier cells hold.
    let mut taken = 0;
    core::iter::from_fn(move || {
        let first = current?;
        let mut cell = Cell {
            kind: first.usage.kind(),
            live: 0,
            room: 0,
            used: 0,
            pages: 0,
            first,
            begins: taken == 0,
        };
        let mut by_kind = [0; Kind::ALL.len()];
        while let Some(run) = current.filter(|_| cell.pages < pages) {
            let here = (pages - cell.pages).min(run.pages - taken);
            cell.pages += here;
            if let Some(count) = by_kind.get_mut(run.usage.kind() as usize) {
                *count += here;
            }
            if let Usage::Small { size, objects, live } = run.usage {
                // A span that two cells share counts in each by the share of its pages.
                cell.live += size * live * here / run.pages.max(1);
                cell.room += size * objects * here / run.pages.max(1);
            }
            if !matches!(run.usage.kind(), Kind::Free | Kind::Room | Kind::Released) {
                cell.used += here;
            }
            taken += here;
            if taken == run.pages {
                current = runs.next();
                taken = 0;
                cell.begins |= cell.pages < pages && current.is_some();
            }
        }
        // Of equal kinds the first wins, so use shows rather than free pages.
        let most = by_kind.iter().copied().max().unwrap_or(0);
        let of_kind = Kind::ALL.iter().zip(by_kind).find(|&(_, count)| count == most);
        cell.kind = of_kind.map_or(cell.kind, |(&kind, _)| kind);
        Some(cell)
    })
}

//! Machines that pack, kept by their thread from one body to the next: to clear one takes less than to make one.

use std::cell::RefCell;
use std::io;
use std::thread::LocalKey;

/// What packs one body after another.
pub(super) trait Machine: Sized + 'static {
    /// How many a thread keeps: a page that comes whole is done before the next one begins.
    const MOST: usize;

    fn make() -> io::Result<Self>;

    /// Forgets the body before.
    fn clear(&mut self) -> io::Result<()>;

    /// Where a thread keeps them.
    fn shelf() -> &'static LocalKey<RefCell<Vec<Self>>>;
}

/// A machine that is kept when the body that it packs has ended, or broke off.
pub(super) struct Kept<M: Machine>(Option<M>);

impl<M: Machine> Kept<M> {
    /// A machine for one body.
    pub(super) fn take() -> io::Result<Self> {
        let Some(mut machine) = M::shelf().with_borrow_mut(Vec::pop) else {
            return M::make().map(Some).map(Kept);
        };
        machine.clear()?;
        Ok(Kept(Some(machine)))
    }

    pub(super) fn machine(&mut self) -> &mut M {
        self.0.as_mut().expect("it is taken out only when it is dropped")
    }
}

impl<M: Machine> Drop for Kept<M> {
    fn drop(&mut self) {
        let Some(machine) = self.0.take() else { return };
        // A thread that ends keeps nothing.
        let _ = M::shelf().try_with(|shelf| {
            let mut shelf = shelf.borrow_mut();
            if shelf.len() < M::MOST {
                shelf.push(machine);
            }
        });
    }
}

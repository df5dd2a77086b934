//! Which address of an upstream gets the next request: that with the fewest under way for its weight. Pure.

/// What the choice knows of one address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) standing: Standing,
    /// Requests under way there.
    pub(super) under_way: usize,
    pub(super) weight: u16,
}

/// Better ones first; only the best there are take part in the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It is there, and has a connection to spare.
    Free,
    /// It is there, and has as many connections as it may.
    Full,
    /// It is not there, as far as is known. Where all are like that, knowledge is not worth much.
    Hopeless,
    /// This request was there already.
    Tried,
}

/// The place of the chosen candidate; none where all were tried.
///
/// Among equals, `turns` (one a candidate, all 0 at first) makes each come as often as its weight says, as evenly
/// as can be: each gains its weight, and who is chosen pays what all have gained.
pub(super) fn choose(candidates: &[Candidate], turns: &mut [i64]) -> Option<usize> {
    let best = candidates.iter().map(|candidate| candidate.standing).min()?;
    if best == Standing::Tried {
        return None;
    }
    let eligible = || candidates.iter().enumerate().filter(|(_, candidate)| candidate.standing == best);
    let (_, least) = eligible().min_by(|(_, one), (_, other)| by_load(one, other))?;
    let mut gained = 0;
    let mut chosen: Option<(usize, i64)> = None;
    for (index, candidate) in eligible().filter(|(_, candidate)| by_load(candidate, least).is_eq()) {
        let turn = turns.get_mut(index)?;
        *turn += i64::from(candidate.weight);
        gained += i64::from(candidate.weight);
        if chosen.is_none_or(|(_, most)| *turn > most) {
            chosen = Some((index, *turn));
        }
    }
    let (index, _) = chosen?;
    *turns.get_mut(index)? -= gained;
    Some(index)
}

/// Compares requests under way for each unit of weight, without fractions.
fn by_load(one: &Candidate, other: &Candidate) -> std::cmp::Ordering {
    let load = |of: &Candidate, weight: u16| of.under_way as u128 * u128::from(weight);
    load(one, other.weight).cmp(&load(other, one.weight))
}

#[cfg(test)]
mod tests {
    use super::Standing::{Free, Full, Hopeless, Tried};
    use super::*;

    fn candidates(of: &[(Standing, usize, u16)]) -> Vec<Candidate> {
        of.iter().map(|&(standing, under_way, weight)| Candidate { standing, under_way, weight }).collect()
    }

    #[test]
    fn the_fewest_for_its_weight_wins_among_the_best() {
        for (of, expected) in [
            (vec![], None),
            (vec![(Free, 2, 1), (Free, 1, 1)], Some(1)),
            (vec![(Free, 2, 3), (Free, 1, 1)], Some(0)),
            (vec![(Free, 4, 3), (Free, 1, 1)], Some(1)),
            (vec![(Hopeless, 0, 1), (Full, 3, 1), (Free, 9, 1)], Some(2)),
            (vec![(Hopeless, 0, 1), (Full, 3, 1), (Full, 2, 1)], Some(2)),
            (vec![(Hopeless, 5, 1), (Hopeless, 2, 1), (Tried, 0, 1)], Some(1)),
            (vec![(Tried, 0, 1), (Tried, 0, 9)], None),
        ] {
            let mut turns = vec![0; of.len()];
            assert_eq!(choose(&candidates(&of), &mut turns), expected, "{of:?}");
        }
    }

    #[test]
    fn equals_take_turns_by_weight_and_evenly() {
        let of = candidates(&[(Free, 0, 3), (Free, 0, 1), (Free, 0, 2)]);
        let mut turns = vec![0; 3];
        let order: Vec<usize> = (0..12).filter_map(|_| choose(&of, &mut turns)).collect();
        assert_eq!(order, [0, 2, 0, 1, 2, 0, 0, 2, 0, 1, 2, 0]);
        assert_eq!(turns, [0; 3]);
    }

    #[test]
    fn who_was_away_does_not_get_all_the_turns_it_missed() {
        let mut turns = vec![0; 2];
        for _ in 0..100 {
            choose(&candidates(&[(Free, 0, 1), (Hopeless, 0, 1)]), &mut turns);
        }
        assert_eq!(turns, [0, 0]);
    }
}

//! The cap on requests and cost: nothing is sent that could go beyond it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::options::ClientOptions;

/// Tokens of a chat template around the messages, at most; far more than any takes.
const TEMPLATE_TOKENS: u64 = 256;

/// What was spent, and what requests on their way may still cost.
#[derive(Debug, Default)]
struct Spent {
    n_requests: u64,
    cost: f64,
    reserved: f64,
}

/// What is spent for one model under one cap.
#[derive(Debug)]
pub(crate) struct Budget {
    spent: Mutex<Spent>,
    settled: Condvar,
    terms: Terms,
}

/// What a budget is for; clients with the same terms spend together.
#[derive(Debug, Clone, PartialEq)]
struct Terms {
    base_url: String,
    model: String,
    max_cost: f64,
    max_requests: u64,
    price_in: f64,
    price_out: f64,
    max_tokens: u32,
}

/// The budgets of the process: a cap would be no cap if every stage, and the evaluation beside it, began with a full purse.
static BUDGETS: Mutex<Vec<Arc<Budget>>> = Mutex::new(Vec::new());

impl Budget {
    /// The budget of the process for `options`.
    pub fn of(options: &ClientOptions) -> Arc<Self> {
        let terms = Terms {
            base_url: options.base_url.clone(),
            model: options.model.clone(),
            max_cost: options.max_cost,
            max_requests: options.max_requests,
            price_in: options.price_in,
            price_out: options.price_out,
            max_tokens: options.max_tokens,
        };
        let mut budgets = BUDGETS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = budgets.iter().find(|budget| budget.terms == terms) {
            return budget.clone();
        }
        let budget = Arc::new(Self { spent: Mutex::default(), settled: Condvar::new(), terms });
        budgets.push(budget.clone());
        budget
    }

    /// Cost of a request with so many tokens, in the currency of the prices.
    pub fn cost(&self, tokens_in: u64, tokens_out: u64) -> f64 {
        (tokens_in as f64 * self.terms.price_in + tokens_out as f64 * self.terms.price_out) / 1e6
    }

    /// Permission for one request of `n_bytes`, or why it may not be sent. Waits for requests on their way if these cost
    /// less than they may.
    ///
    /// A token is at least a byte, so bytes bound the tokens of a prompt whatever the tokenizer.
    pub fn reserve(&self, n_bytes: usize) -> Result<Hold<'_>, String> {
        let Terms { max_cost, max_requests, max_tokens, .. } = self.terms;
        let most = self.cost(n_bytes as u64 + TEMPLATE_TOKENS, u64::from(max_tokens));
        let mut spent = self.spent();
        loop {
            if max_requests > 0 && spent.n_requests >= max_requests {
                let n = spent.n_requests;
                return Err(format!("{n} requests were sent, and `max_requests` is {max_requests}"));
            }
            let fits = |cost: f64| max_cost == 0.0 || cost + most <= max_cost;
            if fits(spent.cost + spent.reserved) {
                spent.n_requests += 1;
                spent.reserved += most;
                return Ok(Hold { budget: self, most, settled: false });
            }
            if !fits(spent.cost) {
                let cost = spent.cost;
                return Err(format!(
                    "{cost:.6} was spent, another request may cost {most:.6}, and `max_cost` is {max_cost}"
                ));
            }
            spent = self.settled.wait(spent).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        // Each change is one assignment or two that belong to one request; a panic between them overstates the cost.
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Permission for one request. Dropped without [`Hold::settle`], it has cost nothing.
pub(crate) struct Hold<'a> {
    budget: &'a Budget,
    /// The most that the request may cost.
    pub most: f64,
    settled: bool,
}

impl Hold<'_> {
    /// The request is over and has cost so much.
    pub fn settle(mut self, cost: f64) {
        self.close(cost);
    }

    fn close(&mut self, cost: f64) {
        if !std::mem::replace(&mut self.settled, true) {
            let mut spent = self.budget.spent();
            spent.reserved = (spent.reserved - self.most).max(0.0);
            spent.cost += cost;
            self.budget.settled.notify_all();
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.close(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(max_cost: f64, max_requests: u64) -> Arc<Budget> {
        Budget::of(&ClientOptions { max_cost, max_requests, price_in: 1e6, ..ClientOptions::new("http://a", "m") })
    }

    #[test]
    fn nothing_goes_beyond_the_cap() {
        let budget = budget(1000.0, 0);
        budget.reserve(100).unwrap().settle(300.0);
        drop(budget.reserve(100).unwrap());
        // 300 + 356 fits, and another 356 beside it does not, before the first is settled.
        let first = budget.reserve(100).unwrap();
        assert_eq!(first.most, 356.0);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| budget.reserve(100).map(|hold| hold.settle(340.0)));
            first.settle(4.0);
            assert!(second.join().unwrap().is_ok());
        });
        let refused = budget.reserve(101).err().unwrap();
        assert_eq!(refused, "644.000000 was spent, another request may cost 357.000000, and `max_cost` is 1000");
        assert!(budget.reserve(100).is_ok());
    }

    #[test]
    fn requests_are_counted() {
        let budget = budget(0.0, 2);
        drop(budget.reserve(1_000_000).unwrap());
        drop(budget.reserve(0).unwrap());
        let same = self::budget(0.0, 2);
        assert_eq!(same.reserve(0).err().unwrap(), "2 requests were sent, and `max_requests` is 2");
        assert!(self::budget(0.0, 3).reserve(0).is_ok(), "another cap is another budget");
    }
}

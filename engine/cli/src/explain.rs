//! `--explain`: the plan of a job instead of the job.

use crate::output::print;
use clap::{Args, ValueEnum};
use pelton_runtime::plan::Explanation;
use std::io;

/// How a plan is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplainForm {
    /// For people.
    Text,
    /// For Graphviz: `dot -Tsvg`.
    Dot,
}

/// The flag `--explain`.
#[derive(Args, Clone, Copy, Debug)]
pub struct ExplainFlag {
    /// Print the plan of the job, as text or for Graphviz, and run nothing.
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    explain: Option<ExplainForm>,
}

impl ExplainFlag {
    /// In which form a plan is asked for, if one is.
    pub fn form(self) -> Option<ExplainForm> {
        self.explain
    }
}

impl ExplainForm {
    /// Prints a plan on standard output.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn print(self, plan: &Explanation) -> io::Result<()> {
        let text = match self {
            ExplainForm::Text => plan.to_string(),
            ExplainForm::Dot => plan.graphviz(),
        };
        print(&text)
    }
}

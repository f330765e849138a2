//! Times and windows in the rows of users: text in RFC 3339 by default, a number where the field says so.

use pelton::prelude::*;
use serde::{Deserialize, Serialize};

#[pelton::record]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sale {
    shop: String,
    at: EventTime,
    #[serde(with = "pelton::time::millis")]
    received: EventTime,
}

const LINE: &str = r#"{"shop":"north","at":"2026-11-28T17:05:00.25Z","received":1795885500251}"#;

#[test]
fn a_record_with_times_goes_to_json_and_back() {
    let sale: Sale = serde_json::from_str(LINE).unwrap();
    assert_eq!(sale.at.as_millis(), 1_795_885_500_250);
    assert_eq!(sale.received.as_millis(), 1_795_885_500_251);
    assert_eq!(serde_json::to_string(&sale).unwrap(), LINE);
    let elsewhere = LINE.replace("17:05:00.25Z", "22:35:00.25+05:30");
    assert_eq!(serde_json::from_str::<Sale>(&elsewhere).unwrap(), sale);
}

#[test]
fn a_number_says_which_it_is_or_is_refused() {
    let said = serde_json::from_str::<Sale>(&LINE.replace("\"2026-11-28T17:05:00.25Z\"", "1795885500250"));
    let said = said.unwrap_err().to_string();
    assert!(said.contains("like \"2026-11-28T17:05:00Z\""), "{said}");
    assert!(said.contains("#[serde(with = \"pelton::time::millis\")]"), "{said}");
    let said = serde_json::from_str::<Sale>(&LINE.replace("17:05", "25:05")).unwrap_err().to_string();
    assert!(said.contains("is not a time like `2026-11-28T17:05:00Z`"), "{said}");
    let said =
        serde_json::from_str::<Sale>(&LINE.replace("1795885500251", "9223372036854775807")).unwrap_err();
    assert!(
        said.to_string().contains("9223372036854775807 milliseconds is more than 292 years away"),
        "{said}"
    );
}

#[test]
fn rows_of_windows_are_json_and_back() {
    let rows = collect();
    Job::new("sales")
        .source(from_iter(|| {
            [("north", 1_795_885_500i64), ("south", 1_795_885_501), ("north", 1_795_885_559)]
        }))
        .event_time(|(_, second)| EventTime::from_secs(*second), in_order())
        .key_by(|(shop, _)| shop.to_string())
        .window(tumbling(secs(60)))
        .count()
        .sink(rows.clone())
        .run_with(&Config {
            driver: pelton::config::DriverKind::Threads,
            pin: false,
            shards: 1,
            ..Config::default()
        })
        .unwrap();
    let rows = rows.take();
    let text = serde_json::to_string(&rows[0]).unwrap();
    let window = r#"{"start":"2026-11-28T17:05:00Z","end":"2026-11-28T17:06:00Z"}"#;
    assert_eq!(text, format!(r#"{{"window":{window},"key":"north","value":2}}"#));
    assert_eq!(serde_json::from_str::<Windowed<String, u64>>(&text).unwrap(), rows[0]);
    assert_eq!(serde_json::from_str::<Window>(window).unwrap(), rows[0].window);
}

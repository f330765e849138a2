//! The layers together: who wins, what is remembered of it, and what is refused once values meet.

use proptest::prelude::*;

use super::*;

fn machine() -> Machine {
    Machine {
        cpus: (0..8).collect(),
        physical: 8,
        quota_millis: None,
        memory_bytes: Some(16 << 30),
        io_uring: true,
    }
}

fn layers(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Layers {
    let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect()
    };
    Layers {
        file: Some(FileText { path: "p.toml".into(), text: file.to_owned() }),
        environment: own(environment).into_iter().map(|(name, text)| (name.into(), text.into())).collect(),
        flags: own(flags),
        machine: machine(),
    }
}

fn refused(layers: Layers, expected: &[&str]) {
    let error = layers.resolve().expect_err("refused");
    let problems: Vec<_> = error.problems().iter().map(Problem::to_string).collect();
    assert_eq!(problems, expected);
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let loaded = Layers::none(machine()).resolve().expect("the defaults pass");
    let expected = Config {
        cores: vec![0, 1],
        shards: 2,
        key_groups: 1024,
        memory_bytes: 2 << 30,
        ring_bytes: 1 << 20,
        driver: DriverKind::Auto,
        pin: true,
        tick: TickConfig {
            records_max: 4096,
            bytes_max: 256 << 10,
            interval_idle_us: 0,
            interval_busy_us: 20,
        },
        idle: IdleConfig { strategy: IdleStrategy::SpinThenPark, spin_us: 50_000, park_us: 1000 },
        durability: Durability::None,
        data: None,
        restore: None,
        drop_state: Vec::new(),
        checkpoint: CheckpointConfig { interval_s: 60, keep: 2 },
        balance: BalanceConfig { interval_s: 0 },
        log: LogConfig { segment_bytes: 64 << 20, direct: false, hash_ticks: 0 },
    };
    assert_eq!(loaded.config, expected);
    assert_eq!(loaded.origin("memory"), Some(&Origin::Default));
    assert_eq!(loaded.origin("shards").map(Origin::to_string).as_deref(), Some("default, one per core"));
}

#[test]
fn defaults_follow_a_smaller_machine_and_buffer() {
    let small = Machine {
        cpus: vec![3],
        physical: 1,
        quota_millis: None,
        memory_bytes: Some(1 << 30),
        io_uring: true,
    };
    let layers = Layers { machine: small, ..layers("buffer = '64 KB'", &[], &[]) };
    let loaded = layers.resolve().expect("a small machine is enough");
    assert_eq!(loaded.config.cores, [3]);
    assert_eq!(loaded.config.shards, 1);
    assert_eq!(loaded.config.memory_bytes, 512 << 20);
    assert_eq!(loaded.config.tick.bytes_max, 16 << 10);
    let origins =
        ["cores", "memory", "tick.bytes_max"].map(|name| loaded.origin(name).expect(name).to_string());
    assert_eq!(
        origins,
        [
            "default, limited by this machine",
            "default, limited by this machine",
            "default, a quarter of `buffer`"
        ]
    );
}

#[test]
fn each_layer_overrides_the_one_below() {
    let file = "shards = 3\n\n[tick]\nrecords_max = 3";
    let cases: [(Layers, usize, &str); 4] = [
        (layers("", &[], &[]), 2, "default, one per core"),
        (layers(file, &[], &[]), 3, "p.toml:1"),
        (layers(file, &[("PELTON_SHARDS", "4")], &[]), 4, "environment PELTON_SHARDS"),
        (layers(file, &[("PELTON_SHARDS", "4")], &[("shards", "5")]), 5, "flag --shards"),
    ];
    for (layers, shards, origin) in cases {
        let loaded = layers.resolve().expect("every layer is sound");
        assert_eq!(loaded.config.shards, shards);
        assert_eq!(loaded.origin("shards").expect("a key").to_string(), origin);
    }
    let loaded = layers(file, &[("PELTON_SHARDS", "4")], &[]).resolve().expect("sound");
    assert_eq!(
        loaded.origin("tick.records_max").expect("a key").to_string(),
        "p.toml:4",
        "others keep theirs"
    );
    let twice = layers("", &[], &[("shards", "5"), ("shards", "6")]).resolve().expect("sound");
    assert_eq!(twice.config.shards, 6, "the later flag wins");
}

#[test]
fn every_key_reaches_its_field_from_every_layer() {
    let file = "cores = [2, 1]\nshards = 3\nkey_groups = 7\nmemory = '3 GB'\nbuffer = '2 MB'\ndriver = 'threads'\n\
                pin = false\ntick.records_max = 5\ntick.bytes_max = 2048\ntick.interval_idle_us = 6\n\
                tick.interval_busy_us = 8\nidle.strategy = 'park'\nidle.spin_us = 9\nidle.park_us = 10\n\
                durability = 'disk'\ndata = 'kept here'\nrestore = 'before-1.2'\ndrop_state = 'window-0, sorted'\ncheckpoint.interval_s = 11\n\
                checkpoint.keep = 12\nbalance.interval_s = 13\nlog.segment = '8 MB'\nlog.direct = true\nlog.hash_ticks = 13\n";
    let expected = Config {
        cores: vec![2, 1],
        shards: 3,
        key_groups: 7,
        memory_bytes: 3 << 30,
        ring_bytes: 2 << 20,
        driver: DriverKind::Threads,
        pin: false,
        tick: TickConfig { records_max: 5, bytes_max: 2048, interval_idle_us: 6, interval_busy_us: 8 },
        idle: IdleConfig { strategy: IdleStrategy::Park, spin_us: 9, park_us: 10 },
        durability: Durability::Disk,
        data: Some("kept here".into()),
        restore: Some("before-1.2".to_owned()),
        drop_state: vec!["window-0".to_owned(), "sorted".to_owned()],
        checkpoint: CheckpointConfig { interval_s: 11, keep: 12 },
        balance: BalanceConfig { interval_s: 13 },
        log: LogConfig { segment_bytes: 8 << 20, direct: true, hash_ticks: 13 },
    };
    assert_eq!(layers(file, &[], &[]).resolve().expect("sound").config, expected);

    let pairs: Vec<(&str, &str)> = file.lines().filter_map(|line| line.split_once(" = ")).collect();
    let pairs: Vec<_> = pairs.iter().map(|&(name, text)| (name, text.trim_matches('\''))).collect();
    assert_eq!(pairs.len(), KEYS.len());
    assert_eq!(layers("", &[], &pairs).resolve().expect("sound").config, expected);

    let variables: Vec<_> = pairs.iter().map(|&(name, _)| find(name).expect("a key").variable()).collect();
    let pairs: Vec<_> =
        variables.iter().zip(&pairs).map(|(variable, pair)| (variable.as_str(), pair.1)).collect();
    assert_eq!(layers("", &pairs, &[]).resolve().expect("sound").config, expected);
}

#[test]
fn spin_is_reached_too() {
    let loaded = layers("[idle]\nstrategy = 'spin'", &[], &[("driver", "glommio")]).resolve().expect("sound");
    assert_eq!(loaded.config.idle.strategy, IdleStrategy::Spin);
    assert_eq!(loaded.config.driver, DriverKind::Glommio);
}

#[test]
fn cores_are_those_of_the_machine() {
    let all = layers("cores = 'auto'", &[], &[]).resolve().expect("sound");
    assert_eq!(all.config.cores, (0..8).collect::<Vec<_>>());
    let range = layers("cores = '4-5'", &[], &[]).resolve().expect("sound");
    assert_eq!(range.config.cores, [4, 5]);
}

#[test]
fn more_cores_than_exist_are_refused() {
    let allowed = "(allowed: a count (2), a list of CPU numbers ([0, 1] in the file, 0,1 or 0-3 elsewhere) or \"auto\") [C05]";
    let nine =
        format!("p.toml:1: `9` is not allowed for `cores`: this machine offers 8 cores (0-7) {allowed}");
    refused(layers("cores = 9", &[], &[]), &[&nine]);
    let absent = format!(
        "--cores: `0,8` is not allowed for `cores`: there is no core 8 to use; this machine offers 8 cores (0-7) {allowed}"
    );
    refused(layers("", &[], &[("cores", "0,8")]), &[&absent]);
    layers("cores = 9", &[], &[("cores", "8")])
        .resolve()
        .expect("only the winner is held against the machine");
}

#[test]
fn a_senseless_value_is_refused_even_where_it_is_overridden() {
    refused(
        layers("shards = 0", &[], &[("shards", "2")]),
        &["p.toml:1: `0` is not allowed for `shards` (allowed: a whole number from 1 to 1024) [C04]"],
    );
}

#[test]
fn problems_of_all_layers_are_reported_together() {
    let error = layers("shards = 0\nmemory = '1 TB'", &[("PELTON_CORSE", "1")], &[("driver", "thread")])
        .resolve()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the configuration has 4 problems:\n  \
         p.toml:1: `0` is not allowed for `shards` (allowed: a whole number from 1 to 1024) [C04]\n  \
         PELTON_CORSE: no key has this variable; did you mean `PELTON_CORES`? [C03]\n  \
         --driver: `thread` is not allowed for `driver`: did you mean `threads`? (allowed: \"auto\", \"glommio\" or \"threads\") [C04]\n  \
         p.toml:2: `'1 TB'` is not allowed for `memory`: this machine has 16 GB of memory \
         (allowed: a size such as \"64 KB\" or \"2 GB\", from 16 MB to 64 TB) [C05]"
    );
}

#[test]
fn more_memory_than_the_machine_has_is_refused() {
    refused(
        layers("memory = \"64 GB\"", &[], &[]),
        &["p.toml:1: `\"64 GB\"` is not allowed for `memory`: this machine has 16 GB of memory \
           (allowed: a size such as \"64 KB\" or \"2 GB\", from 16 MB to 64 TB) [C05]"],
    );
}

#[test]
fn values_that_do_not_fit_together_are_refused() {
    refused(
        layers("key_groups = 4", &[], &[("shards", "8")]),
        &["--shards: `shards` is 8 but `key_groups` only 4; each shard needs a group of its own [C06]"],
    );
    refused(
        layers("\nkey_groups = 1", &[], &[]),
        &["p.toml:2: `shards` is 2 but `key_groups` only 1; each shard needs a group of its own [C06]"],
    );
    refused(
        layers("[tick]\nbytes_max = '512 KB'", &[], &[]),
        &["p.toml:2: `tick.bytes_max` is 512 KB but a ring must hold four ticks, \
           so at most 256 KB with `buffer` at 1 MB [C06]"],
    );
    refused(
        layers("tick.interval_idle_us = 50", &[], &[]),
        &["p.toml:1: `tick.interval_idle_us` is 50 but `tick.interval_busy_us` only 20; \
           the interval grows with load [C06]"],
    );
}

#[test]
fn a_job_that_is_durable_needs_a_directory() {
    refused(
        layers("", &[], &[("durability", "disk")]),
        &[
            "--durability: `durability` is \"disk\" but `data` names no directory to keep what is durable in [C06]",
        ],
    );
    refused(
        layers("data = ''", &[("PELTON_DURABILITY", "process")], &[]),
        &[
            "PELTON_DURABILITY: `durability` is \"process\" but `data` names no directory to keep what is durable in [C06]",
        ],
    );
    let both = layers("data = '/var/lib/p'", &[], &[("durability", "disk")]).resolve().expect("sound").config;
    assert_eq!((both.durability, both.data), (Durability::Disk, Some("/var/lib/p".into())));
    layers("data = '/var/lib/p'", &[], &[]).resolve().expect("a directory that is not used yet");
    refused(
        layers("\nrestore = 12", &[], &[]),
        &[
            "p.toml:2: `restore` is \"12\" but with `durability` at \"none\" nothing is kept to begin from [C06]",
        ],
    );
}

#[test]
fn the_memory_in_which_logs_are_staged_counts() {
    let file = "durability = 'disk'\ndata = 'd'\nmemory = '64 MB'\n";
    refused(
        layers(file, &[], &[("shards", "1")]),
        &[
            "p.toml:3: `memory` is 64 MB but 1 exchange of 1 x 1 rings of 1 MB and 1 log segment of 64 MB need 65 MB; \
           raise `memory`, or lower `shards`, `log.segment` or `buffer` [C07]",
        ],
    );
    layers(file, &[("PELTON_DURABILITY", "none")], &[]).resolve().expect("nothing is staged then");
    layers(file, &[], &[("log.segment", "16 MB")]).resolve().expect("smaller segments fit");
}

#[test]
fn memory_that_does_not_hold_the_rings_is_refused_with_what_is_needed() {
    refused(
        layers("shards = 64", &[], &[]),
        &["p.toml:1: `memory` is 2 GB but 1 exchange of 64 x 64 rings of 1 MB needs 4 GB; \
           raise `memory`, or lower `shards` or `buffer` [C07]"],
    );
    let config = layers("shards = 8", &[], &[]).resolve().expect("one exchange fits").config;
    config.check_memory(0).expect("no exchange needs nothing");
    config.check_memory(32).expect("exactly the limit");
    assert_eq!(
        config.check_memory(33).unwrap_err().to_string(),
        "`memory` is 2 GB but 33 exchanges of 8 x 8 rings of 1 MB need 2.1 GB; \
         raise `memory`, or lower `shards` or `buffer` [C07]"
    );
    config.check_memory(usize::MAX).expect_err("no overflow");
}

#[test]
fn what_is_shown_is_aligned_and_says_where_each_value_came_from() {
    let file = "memory = '4 GB'\n";
    let loaded =
        layers(file, &[("PELTON_IDLE_STRATEGY", "park")], &[("cores", "0-2")]).resolve().expect("sound");
    assert_eq!(
        show(&loaded),
        "\
# file: p.toml
# machine: 8 cores (0-7), 16 GB of memory, io_uring works
cores                 = [0, 1, 2]  # flag --cores
shards                = 3          # default, one per core
key_groups            = 1024       # default
memory                = \"4 GB\"     # p.toml:1
buffer                = \"1 MB\"     # default
driver                = \"auto\"     # default
pin                   = true       # default
durability            = \"none\"     # default
data                  = \"\"         # default
restore               = \"\"         # default
drop_state            = \"\"         # default
tick.records_max      = 4096       # default
tick.bytes_max        = \"256 KB\"   # default
tick.interval_idle_us = 0          # default
tick.interval_busy_us = 20         # default
idle.strategy         = \"park\"     # environment PELTON_IDLE_STRATEGY
idle.spin_us          = 50000      # default
idle.park_us          = 1000       # default
checkpoint.interval_s = 60         # default
checkpoint.keep       = 2          # default
balance.interval_s    = 0          # default
log.segment           = \"64 MB\"    # default
log.direct            = false      # default
log.hash_ticks        = 0          # default
"
    );
    let again = layers(&show(&loaded), &[], &[]).resolve().expect("what is shown is a file");
    assert_eq!(again.config, loaded.config);
}

#[test]
fn a_template_says_everything_about_each_key() {
    let text = template(&machine());
    for key in KEYS {
        let line = format!("\n{} = ", key.section().1);
        assert!(text.contains(&line), "{line:?} is missing");
    }
    assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    assert!(text.contains("# Default: \"2 GB\", or half the machine's memory if that is less."), "{text}");
    assert!(text.contains("\ncores = 7\n"), "one core is left for the rest: {text}");
    assert!(text.contains("\nmemory = \"8 GB\"\n"), "{text}");
}

#[test]
fn the_process_is_a_machine_with_defaults() {
    assert_eq!(Config::default(), Layers::none(Machine::detect()).resolve().expect("sound").config);
}

fn any_machine() -> impl Strategy<Value = Machine> {
    (
        1usize..300,
        1usize..300,
        prop::option::of(0u64..400_000),
        prop::option::of(1u64 << 20..1 << 42),
        any::<bool>(),
    )
        .prop_map(|(cpus, physical, quota_millis, memory_bytes, io_uring)| Machine {
            cpus: (0..cpus).collect(),
            physical: physical.min(cpus),
            quota_millis,
            memory_bytes,
            io_uring,
        })
}

proptest! {
    #[test]
    fn the_defaults_and_the_template_pass_on_every_machine(machine in any_machine()) {
        prop_assert!(Layers::none(machine.clone()).resolve().is_ok());
        let file = FileText { path: "p.toml".into(), text: template(&machine) };
        let loaded = Layers { file: Some(file), ..Layers::none(machine) }.resolve();
        prop_assert!(loaded.is_ok(), "{}", loaded.unwrap_err());
        let loaded = loaded.unwrap();
        prop_assert!(loaded.settings.iter().all(|setting| matches!(setting.origin, Origin::Set(_))));
        prop_assert!(loaded.config.check_memory(4).is_ok());
    }

    #[test]
    fn no_text_panics(file in any::<String>(), name in "PELTON_\\PC{0,12}", text in any::<String>()) {
        let _ = layers(&file, &[(&name, &text)], &[(&name, &text)]).resolve();
    }

    #[test]
    fn nothing_that_looks_like_a_configuration_panics(
        lines in prop::collection::vec(
            ("(cores|shards|tick|idle|memory|buffer|tick\\.bytes_max|pin|x)", "[ =\\[\\]{}]{0,4}",
             "([0-9\"',.\\-]{0,8}|\"[0-9]{1,3} [KMG]B\"|true|\\[[0-9, ]{0,9}\\])"),
            0..6,
        ),
    ) {
        let text: String = lines.iter().map(|(key, mid, value)| format!("{key}{mid}{value}\n")).collect();
        let _ = layers(&text, &[], &[]).resolve();
        for key in KEYS {
            let _ = layers("", &[], &[(key.name, &lines.first().map_or(String::new(), |line| line.2.clone()))]).resolve();
        }
    }

    #[test]
    fn every_setting_is_what_its_layer_said(shards in 1u64..=64, groups in 64u64..=65536, park in 1u64..=1_000_000) {
        let text = format!("memory = '8 GB'\nshards = {shards}\nkey_groups = {groups}\nidle.park_us = {park}");
        let config = layers(&text, &[], &[]).resolve().expect("sound").config;
        prop_assert_eq!((config.shards as u64, u64::from(config.key_groups), config.idle.park_us), (shards, groups, park));
    }
}

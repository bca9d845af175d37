import MartletConfig

/// The daemon's command line.
enum Options {
    static let specification = CommandSpecification(
        "martletd", "Runs one node of a Martlet cluster.",
        options: [
            OptionSpecification("--config", value: "FILE", "The cluster's file (default cluster.yaml)."),
            OptionSpecification(
                "--name", value: "NAME", "Which of the file's nodes this is; any other one joins."),
            OptionSpecification(
                "--address", value: "ADDRESS", "The same by its address; of one that joins, where it is."),
            OptionSpecification("--zone", value: "ZONE", "Of a node that the file doesn't list."),
            OptionSpecification("--datacenter", value: "NAME", "Of a node that the file doesn't list."),
            OptionSpecification(
                "--ports", value: "NAME=PORT,...", "Of a node that the file doesn't list: peers=7601."),
            OptionSpecification("--data", value: "FOLDER", "Where the node folder goes: FOLDER/NAME."),
            OptionSpecification(
                "--set", value: "KEY=VALUE", repeats: true, "Overrides a setting: requests.timeout=1s."),
            OptionSpecification(
                "--insecure",
                "Serve on an address that isn't loopback, though there is no authentication yet."),
            OptionSpecification(
                "--replace", value: "ID", "Join in the place of this dead node: with its tokens."),
            OptionSpecification("--version", "Show the version."),
        ],
        examples: [
            ("martletd --config cluster.yaml --name n1", "Runs n1 with its data in data/n1 beside the file."),
            ("martletd --name n2 --set log.level=debug", "The same for n2, with more to read."),
            (
                "martletd --name n4 --address 127.0.0.4",
                "n4, which no file lists, joins the ring of the others."
            ),
        ],
        notes: """
            The ring forms once, of all nodes that the file lists. A node that isn't of it, listed or not,
            asks the file's seeds (or nodes) to be let in, and takes its share of the data.

            SIGTERM and SIGINT drain: what is in flight is finished and synced, then the node says goodbye.

            Exit status: 0 drained; 2 usage; 3 configuration; 4 a port is in use; 5 data folder or disk;
            134 an invariant was broken.

            Environment: MARTLET_CONFIG, MARTLET_NAME, MARTLET_ADDRESS, MARTLET_DATA, and
            MARTLET_<SECTION>_<KEY> for any scalar of the file. Precedence: flag, environment, file, default.
            """)
}

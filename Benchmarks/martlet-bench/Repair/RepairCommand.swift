import Glibc
import MartletBase
import MartletConfig
import MartletMerkle

/// `martlet-bench repair`: what it costs two owners to find out where they differ, and to mend it.
package enum RepairCommand {
    package static let specification = CommandSpecification(
        "repair", "Measures exchanges between two owners: traffic, round trips, speed.",
        options: [
            OptionSpecification("--keys", value: "N", "Keys that both hold (1M; 10k to 100M)."),
            OptionSpecification("--value-bytes", value: "N", "Of each (100)."),
            OptionSpecification("--differences", value: "N,...", "Keys that one lacks (0,1,10,100,1000)."),
            OptionSpecification(
                "--folder", value: "PATH", "Where the data goes; must not exist (a new one)."),
            OptionSpecification("--json", value: "FILE", "Write the result; - is stdout."),
        ],
        examples: [
            ("martlet-bench repair", "a million keys"),
            ("martlet-bench repair --keys 10M --differences 0,1,100,10000", "ten million"),
        ],
        notes: """
            Two nodes and their engines in this process, on one thread; messages go from one to the other as
            frames, which are counted; every turn that writes is synced. The last row has 500,000 keys that
            one of the two lacks: the speed of a node that has to get nearly everything.
            Exit status: 0 done; 2 wrong use; 7 refused.
            """)

    static func run(_ line: ParsedCommandLine) throws(Failure) {
        let options = OptionReader(line)
        let keys = try options.whole("--keys", 10_000...100_000_000) ?? 1_000_000
        let valueBytes = try options.whole("--value-bytes", 1...65_536) ?? 100
        let differences = try options.wholes("--differences", 0...keys) ?? [0, 1, 10, 100, 1_000]
        let folder = line.value("--folder") ?? "/tmp/martlet-bench-repair-\(getpid())"
        guard mkdir(folder, 0o755) == 0 else {
            throw .refused("can't make \(folder): \(errorText(errno))")
        }
        defer { removeTree(folder) }
        let world = try RepairWorld(folder: folder, keys: keys, valueBytes: valueBytes)
        var rows: [RepairRow] = []
        world.form()
        // The first exchange has summed up everything.
        let perSecond = Double(world.passed) / world.digestSeconds
        for count in differences {
            try world.differ(by: count)
            rows.append(try world.exchange("\(count) keys differ", differences: count))
        }
        let many = min(keys, 500_000)
        try world.differ(by: many)
        rows.append(try world.exchange("\(many) keys differ", differences: many))
        if let json = line.value("--json") {
            let text = RepairRow.json(rows, keys: keys, rescanned: perSecond).description + "\n"
            if json == "-" { say(text) } else { try writeFile(json, text) }
            if json == "-" { return }
        }
        say("\(keys) keys of \(valueBytes) bytes at each of two nodes\n")
        say("rescan: \(Int(perSecond)) keys a second and core")
        say("a write sets its leaf's bit in \(decimal(markNanoseconds(), digits: 1)) ns\n")
        for row in rows { say(row.text) }
    }
}

extension RepairCommand {
    /// What a write costs the tree: half of the leaves are marked already.
    fileprivate static func markNanoseconds() -> Double {
        var random = Random(seed: 1)
        let leaves = (0..<(1 << 16)).map { _ in UInt32(random.below(MerkleTree.leavesMax)) }
        var tree = MerkleTree(isDirty: false)
        for leaf in leaves.prefix(leaves.count / 2) { tree.mark(leaf) }
        let rounds = 1_000
        let began = RepairWorld.clock(CLOCK_THREAD_CPUTIME_ID)
        for _ in 0..<rounds {
            for leaf in leaves { tree.mark(leaf) }
        }
        let seconds = RepairWorld.clock(CLOCK_THREAD_CPUTIME_ID) - began
        invariant(tree.dirtyCount <= leaves.count, "more is marked than was written")
        return seconds * 1e9 / Double(rounds * leaves.count)
    }
}

/// One exchange, measured.
struct RepairRow {
    var name: String
    var differences: Int
    var roundTrips: Int
    var bytes: Int
    /// Of it: the keys and records that one side lacked.
    var payload: Int
    var seconds: Double

    var perDifference: Int { differences == 0 ? 0 : (bytes - payload) / differences }

    var text: String {
        let overhead = differences == 0 ? "" : ", \(perDifference) bytes of overhead a difference"
        let speed =
            payload > 1 << 20 ? ", \(Int(Double(payload) / seconds / 1_000_000)) MB/s" : ""
        return "\(name): \(roundTrips) round trips, \(bytes) bytes, \(payload) of them records\(overhead), "
            + "\(Int(seconds * 1_000)) ms\(speed)"
    }

    static func json(_ rows: [RepairRow], keys: Int, rescanned: Double) -> JSON {
        .object([
            ("keys", .integer(keys)), ("rescan_keys_per_s", .integer(Int(rescanned))),
            (
                "exchanges",
                .array(
                    rows.map { row in
                        .object([
                            ("name", .string(row.name)), ("differences", .integer(row.differences)),
                            ("round_trips", .integer(row.roundTrips)), ("bytes", .integer(row.bytes)),
                            ("record_bytes", .integer(row.payload)),
                            ("overhead_bytes_per_difference", .integer(row.perDifference)),
                            ("seconds", .number(row.seconds)),
                        ])
                    })
            ),
        ])
    }
}

import FakeServer
import MartletBase
import MartletServer
import MartletVersions
import Testing

/// What clients see of a keyspace that keeps concurrent versions.
@Suite struct SiblingsTests {
    private func harness() -> Harness {
        let harness = Harness()
        #expect(harness.ask("MARTLET KEYSPACE CREATE carts conflict siblings").hasPrefix("$"))
        #expect(harness.ask("SELECT carts") == "+OK|")
        return harness
    }

    private func context(_ reply: String) -> String { VersionTests.field(reply, 2) }

    /// The values of VGET in RESP2, the oldest version first.
    private func values(_ harness: Harness, _ key: String) -> [String] {
        let fields = harness.ask("VGET \(key)").split(separator: "|", omittingEmptySubsequences: false)
        return stride(from: 5, to: fields.count, by: 2).map { String(fields[$0]) }
    }

    @Test func concurrentWritesAreKeptUntilAClientReplacesThem() {
        let harness = harness()
        #expect(harness.ask("VGET a") == "*2|$-1|*0|")
        harness.ask("VSET a one")
        #expect(harness.ask("GET a") == "$3|one|")
        harness.ask("VSET a two")
        #expect(values(harness, "a") == ["one", "two"])
        let refusal = "-SIBLINGS 2 concurrent versions of this key: read them with VGET|"
        for command in ["GET a", "STRLEN a", "TTL a", "APPEND a x", "EXPIRE a 9", "GETRANGE a 0 1", "TYPE a"]
        {
            #expect(harness.ask(command) == refusal, "\(command)")
        }
        #expect(harness.ask("MGET a b") == refusal)
        #expect(harness.ask("EXISTS a b") == ":1|")
        let seen = context(harness.ask("VGET a"))
        #expect(harness.ask("VSET a both CONTEXT \(seen)").hasPrefix("*2|"))
        #expect(values(harness, "a") == ["both"])
        #expect(harness.ask("GET a") == "$4|both|")
        // The same context again covers nothing that came later.
        harness.ask("VSET a late CONTEXT \(seen)")
        #expect(values(harness, "a") == ["both", "late"])
        #expect(harness.ask("DEL a") == ":1|")
        #expect(harness.ask("VGET a").hasSuffix("*0|"))
        #expect(harness.ask("GET a") == "$-1|")
    }

    @Test func theContextOfAWriteCoversThatWriteAndNoOther() {
        let harness = harness()
        let first = context(harness.ask("VSET a one"))
        harness.ask("VSET a two")
        harness.ask("VSET a three CONTEXT \(first)")
        #expect(values(harness, "a") == ["two", "three"])
    }

    @Test func aDeleteLeavesWhatItHasNotSeen() {
        let harness = harness()
        harness.ask("VSET a one")
        let seen = context(harness.ask("VGET a"))
        harness.ask("VSET a two")
        #expect(harness.ask("VDEL a CONTEXT \(seen)").hasPrefix("*2|"))
        #expect(values(harness, "a") == ["two"])
        #expect(harness.ask("VGET a META").contains("|:1|"), "the tombstone is listed")
        // Without a context it deletes what it finds.
        #expect(harness.ask("VDEL a").hasPrefix("*2|"))
        #expect(values(harness, "a") == [])
        #expect(harness.ask("VGET a META").ranges(of: "*5|").count == 1, "one tombstone is left")
    }

    @Test func commandsOfOneValueReplaceWhatTheyRead() {
        let harness = harness()
        harness.ask("SET a one")
        #expect(harness.ask("APPEND a +") == ":4|")
        #expect(harness.ask("GETSET a two") == "$4|one+|")
        #expect(harness.ask("EXPIRE a 100") == ":1|")
        #expect(harness.ask("TTL a") == ":100|")
        #expect(harness.ask("SET a three KEEPTTL") == "+OK|")
        #expect(harness.ask("TTL a") == ":100|")
        #expect(values(harness, "a") == ["three"])
        #expect(harness.ask("PERSIST a") == ":1|")
        #expect(harness.ask("GETDEL a") == "$5|three|")
        #expect(harness.ask("EXISTS a") == ":0|")
        // A plain SET is blind: it has seen nothing.
        harness.ask("SET a one")
        harness.ask("SET a two")
        #expect(values(harness, "a") == ["one", "two"])
    }

    @Test func badContextsAreRefused() {
        let harness = harness()
        let token = context(harness.ask("VSET a 1"))
        func refusal(_ reason: String) -> String { "-BADCONTEXT reason=\(reason): " }
        #expect(harness.ask("VSET b 1 CONTEXT \(token)").hasPrefix(refusal("key")))
        #expect(harness.ask("VSET a 1 CONTEXT \(token.dropLast(2))AA").hasPrefix(refusal("checksum")))
        #expect(harness.ask("VSET a 1 CONTEXT \(token.prefix(4))").hasPrefix(refusal("truncated")))
        #expect(harness.ask("VSET a 1 CONTEXT nonsense!").hasPrefix(refusal("truncated")))
        // A version is no context.
        let version = VersionTests.field(harness.ask("VSET c 1"), 4)
        #expect(harness.ask("VSET c 1 CONTEXT \(version)").hasPrefix(refusal("truncated")))
        harness.backend.now.wall = WallTime(milliseconds: 1_600_000_000_000)
        #expect(harness.ask("VSET a 1 CONTEXT \(token)").hasPrefix(refusal("future")))
        #expect(values(harness, "a") == ["1"])
    }

    @Test func tooManySiblingsAreRefusedWithTheKey() {
        let harness = harness()
        harness.backend.fails = { _ in .siblings(limit: "siblings_max", found: 64, max: 64) }
        #expect(
            harness.ask("SET a 1").hasPrefix("-TOOMANYSIBLINGS limit=siblings_max found=64 max=64 key=a: "))
    }

    /// What a session shows, against contexts that it kept, in RESP3.
    @Test func mapsHaveNames() {
        let harness = harness()
        harness.ask("HELLO 3")
        harness.ask("VSET a 1")
        harness.ask("VSET a 2")
        #expect(harness.ask("VGET a").hasPrefix("%2|$7|context|$"))
        #expect(harness.ask("VGET a").hasSuffix("$6|values|*2|$1|1|$1|2|"))
        #expect(harness.ask("VSET a 3").contains("|$7|version|"))
    }
}

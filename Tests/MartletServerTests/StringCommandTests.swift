import FakeServer
import MartletBase
import MartletNode
import MartletServer
import Testing

/// Exact replies, as Redis 7.0.15 gave them to the same requests. Line ends are written `|`.
@Suite struct StringCommandTests {
    private func check(_ conversation: [(String, String)], _ harness: Harness = Harness()) {
        CommandTests.check(conversation, harness)
    }

    @Test func partsOfStrings() {
        check([
            ("APPEND a hello", ":5|"), ("APPEND a _world", ":11|"), ("STRLEN a", ":11|"), ("STRLEN x", ":0|"),
            ("GETRANGE a 0 4", "$5|hello|"), ("GETRANGE a -5 -1", "$5|world|"),
            ("SUBSTR a 0 -1", "$11|hello_world|"),
            ("GETRANGE a 20 30", "$0||"), ("GETRANGE a 0 -100", "$1|h|"), ("GETRANGE a -1 -3", "$0||"),
            ("GETRANGE x 0 -1", "$0||"), ("GETRANGE a 5 4", "$0||"),
            ("GETRANGE a 0 9223372036854775807", "$11|hello_world|"),
            ("SETRANGE a 6 WORLD", ":11|"), ("GET a", "$11|hello_WORLD|"), ("SETRANGE a 10 !!", ":12|"),
            ("SETRANGE x 2 ab", ":4|"), ("GET x", "$4|\0\0ab|"), ("SETRANGE y 7 ", ":0|"),
            ("EXISTS y", ":0|"),
            ("SETRANGE a 100 ", ":12|"), ("SETRANGE a -1 x", "-ERR offset is out of range|"),
            (
                "SETRANGE a 536870912 x",
                "-ERR string exceeds maximum allowed size (proto-max-bulk-len)|"
            ),
            (
                "SETRANGE a 9223372036854775807 x",
                "-ERR string exceeds maximum allowed size (proto-max-bulk-len)|"
            ),
            ("APPEND empty ", ":0|"), ("EXISTS empty", ":1|"),
            ("EXPIRE a 100", ":1|"), ("APPEND a x", ":13|"), ("TTL a", ":100|"), ("SETRANGE a 0 x", ":13|"),
            ("TTL a", ":100|"),
        ])
    }

    @Test func getAndMore() {
        check([
            ("GETSET a 1", "$-1|"), ("GETSET a 2", "$1|1|"), ("EXPIRE a 10", ":1|"), ("GETSET a 3", "$1|2|"),
            ("TTL a", ":-1|"), ("GETDEL a", "$1|3|"), ("GETDEL a", "$-1|"), ("EXISTS a", ":0|"),
            ("SETEX a 10 1", "+OK|"), ("TTL a", ":10|"), ("PSETEX a 5000 2", "+OK|"), ("PTTL a", ":5000|"),
            ("GETEX a", "$1|2|"), ("PTTL a", ":5000|"), ("GETEX a EX 100", "$1|2|"), ("TTL a", ":100|"),
            ("GETEX a PERSIST", "$1|2|"), ("TTL a", ":-1|"), ("GETEX a persist", "$1|2|"),
            ("GETEX a PXAT 1700000005000", "$1|2|"), ("PTTL a", ":5000|"),
            ("GETEX a EX 0", "-ERR invalid expire time in 'getex' command|"),
            ("GETEX a EX x", "-ERR value is not an integer or out of range|"),
            ("GETEX none EX x", "$-1|"), ("GETEX a EX 1 PX 1", "-ERR syntax error|"),
            ("GETEX a KEEPTTL", "-ERR syntax error|"), ("GETEX a EXAT 1", "$1|2|"), ("EXISTS a", ":0|"),
            ("SETEX a 0 1", "-ERR invalid expire time in 'setex' command|"),
            ("PSETEX a x 1", "-ERR value is not an integer or out of range|"),
        ])
    }

    @Test func facts() {
        let harness = Harness()
        let long = String(repeating: "x", count: 45)
        check(
            [
                ("SET a 12", "+OK|"), ("SET b hello", "+OK|"), ("SET c \(long)", "+OK|"),
                ("TYPE a", "+string|"),
                ("TYPE x", "+none|"), ("OBJECT ENCODING a", "$3|int|"), ("OBJECT ENCODING b", "$6|embstr|"),
                ("OBJECT ENCODING c", "$3|raw|"), ("OBJECT ENCODING x", "$-1|"), ("OBJECT REFCOUNT b", ":1|"),
                ("OBJECT FREQ x", "$-1|"), ("OBJECT IDLETIME x", "$-1|"), ("MEMORY USAGE x", "$-1|"),
                ("MEMORY USAGE a SAMPLES", "-ERR syntax error|"),
                ("MEMORY USAGE a SAMPLES -1", "-ERR syntax error|"),
                ("OBJECT NOPE a", "-ERR unknown subcommand 'NOPE'. Try OBJECT HELP.|"),
                ("OBJECT ENCODING", "-ERR wrong number of arguments for 'object|encoding' command|"),
            ], harness)
        harness.backend.now.wall = harness.backend.now.wall + .seconds(77)
        check([("OBJECT IDLETIME a", ":77|")], harness)
        #expect(harness.ask("OBJECT FREQ a").hasPrefix("-ERR An LFU maxmemory policy is not selected, "))
        #expect(harness.ask("MEMORY USAGE a").hasPrefix(":"))
    }

    @Test func timeAndWait() {
        let harness = Harness()
        check(
            [
                ("TIME", "*2|$10|1700000000|$1|0|"), ("WAIT 2 100", ":1|"), ("CONSISTENCY ONE ALL", "+OK|"),
                ("WAIT 1 0", ":2|"), ("CONSISTENCY ONE ANY", "+OK|"), ("WAIT 0 0", ":0|"),
                ("CONSISTENCY ONE EACH_QUORUM", "+OK|"), ("WAIT 0 0", ":1|"),
                ("CONSISTENCY ONE LOCAL_QUORUM", "+OK|"), ("WAIT 0 0", ":1|"),
                ("WAIT x 0", "-ERR value is not an integer or out of range|"),
                ("WAIT 0 x", "-ERR timeout is not an integer or out of range|"),
                ("WAIT 0 -1", "-ERR timeout is negative|"),
            ], harness)
    }

    /// What a command would store is judged like what a client sends.
    @Test func valuesThatGrowTooLong() {
        let harness = Harness { $0.valueBytesMax = 10 }
        check([("APPEND a 12345678", ":8|")], harness)
        for line in ["APPEND a 123", "SETRANGE a 8 123", "SETRANGE b 10 1"] {
            #expect(harness.ask(line).hasPrefix("-TOOLARGE what=value bytes=11 max=10 key="), "\(line)")
        }
        check([("GET a", "$8|12345678|"), ("APPEND a 90", ":10|"), ("EXISTS b", ":0|")], harness)
    }

    @Test func sentencesOfTheirOwn() {
        let harness = Harness()
        let lines = [
            "INCR a", "DECRBY a 1", "INCRBYFLOAT a 1", "EVAL x 0", "EVALSHA x 0", "SCRIPT LOAD x",
            "FCALL f 0",
            "SUBSCRIBE a", "PSUBSCRIBE a", "PUBLISH a b", "SETNX a b",
            "MSETNX a b", "MULTI", "UNWATCH",
        ]
        for line in lines {
            let reply = harness.ask(line)
            #expect(
                reply.contains(" not supported") || reply.contains("needs agreement"), "\(line): \(reply)")
        }
        check(
            [
                ("SETNX a b", "-ERR SETNX needs agreement among replicas, which this version does not have|"),
                ("INCR", "-ERR wrong number of arguments for 'incr' command|"),
                ("COMMAND INFO incr", "*1|$-1|"),
                ("LPUSH a b", "-ERR unknown command 'LPUSH', with args beginning with: 'a' 'b' |"),
            ], harness)
    }
}

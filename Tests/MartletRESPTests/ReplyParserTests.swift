import MartletBase
import MartletRESP
import Testing

@Suite struct ReplyParserTests {
    @Test func everyType() {
        let cases: [(String, RESPValue)] = [
            ("+OK\r\n", .simpleString("OK")),
            ("+\r\n", .simpleString("")),
            ("-ERR no\r\n", .error("ERR no")),
            ("!6\r\nERR\r\nx\r\n", .error("ERR\r\nx")),
            (":-9223372036854775808\r\n", .integer(.min)),
            ("$0\r\n\r\n", .bulkString(.empty)),
            ("$4\r\na\r\nb\r\n", .bulkString(Blob("a\r\nb"))),
            ("$-1\r\n", .null), ("*-1\r\n", .null), ("_\r\n", .null),
            ("#t\r\n", .boolean(true)), ("#f\r\n", .boolean(false)),
            (",1.5\r\n", .double(1.5)), (",-1e3\r\n", .double(-1_000)), (",10\r\n", .double(10)),
            (",inf\r\n", .double(.infinity)), (",-inf\r\n", .double(-.infinity)),
            (
                "(3492890328409238509324850943850943825024385\r\n",
                .bigNumber("3492890328409238509324850943850943825024385")
            ),
            ("(-1\r\n", .bigNumber("-1")),
            ("=8\r\ntxt:a\r\nb\r\n", .verbatimString(format: "txt", text: Blob("a\r\nb"))),
            ("*0\r\n", .array([])), ("%0\r\n", .map([])), ("~0\r\n", .set([])), (">0\r\n", .push([])),
            ("*2\r\n:1\r\n*1\r\n$-1\r\n", .array([.integer(1), .array([.null])])),
            (
                "%1\r\n+a\r\n%1\r\n+b\r\n:1\r\n",
                .map([.init(.simpleString("a"), .map([.init(.simpleString("b"), .integer(1))]))])
            ),
            ("~2\r\n:1\r\n:2\r\n", .set([.integer(1), .integer(2)])),
            (">2\r\n+invalidate\r\n*0\r\n", .push([.simpleString("invalidate"), .array([])])),
            (
                "|1\r\n+ttl\r\n:5\r\n:7\r\n",
                .attributed(attributes: [.init(.simpleString("ttl"), .integer(5))], value: .integer(7))
            ),
            ("|0\r\n:7\r\n", .attributed(attributes: [], value: .integer(7))),
            (
                "*1\r\n|1\r\n+a\r\n:1\r\n*1\r\n:2\r\n",
                .array([
                    .attributed(
                        attributes: [.init(.simpleString("a"), .integer(1))], value: .array([.integer(2)]))
                ])
            ),
        ]
        for (input, value) in cases {
            #expect(parseReplies(input) == [.value(value)], "\(input.debugDescription)")
            #expect(
                parseReplies(input + input) == [.value(value), .value(value)], "\(input.debugDescription)")
            for cut in 0..<input.utf8.count {
                #expect(
                    parseReplies(Array(input.utf8.prefix(cut))).seen.isEmpty,
                    "\(input.debugDescription) cut at \(cut)"
                )
            }
        }
        guard case .value(.double(let nan))? = parseReplies(",nan\r\n").first else {
            return #expect(Bool(false))
        }
        #expect(nan.isNaN)
    }

    @Test func badBytesAreErrors() {
        let cases: [(String, WireError)] = [
            ("x\r\n", .invalid("reply type")), ("\r\n", .invalid("reply type")), ("\n", .invalid("line end")),
            ("+OK\n", .invalid("line end")), ("+OK\rx", .invalid("line end")),
            (":x\r\n", .invalid("integer")),
            (":\r\n", .invalid("integer")), (":9223372036854775808\r\n", .invalid("integer")),
            ("_x\r\n", .invalid("null")), ("#\r\n", .invalid("boolean")), ("#true\r\n", .invalid("boolean")),
            (",\r\n", .invalid("double")), (",0x1p3\r\n", .invalid("double")),
            (",infinity\r\n", .invalid("double")),
            (",1e\r\n", .invalid("double")), ("(\r\n", .invalid("big number")),
            ("(-\r\n", .invalid("big number")),
            ("(1.5\r\n", .invalid("big number")), ("$-2\r\n", .invalid("payload's length")),
            ("$?\r\n", .invalid("payload's length")), ("$01\r\n", .invalid("payload's length")),
            ("!-1\r\n", .invalid("payload's length")), ("$1\r\nabc", .invalid("payload's end")),
            ("=3\r\ntxt\r\n", .invalid("verbatim string")), ("=4\r\ntxt.\r\n", .invalid("verbatim string")),
            ("*-2\r\n", .invalid("count of elements")), ("*?\r\n", .invalid("count of elements")),
            ("%-1\r\n", .invalid("count of elements")), ("~-1\r\n", .invalid("count of elements")),
            ("$536870913\r\n", .tooLong(what: "payload", count: 536_870_913, max: 536_870_912)),
            ("*16777217\r\n", .tooLong(what: "reply", count: 16_777_217, max: 16_777_216)),
            ("%9223372036854775807\r\n", .tooLong(what: "reply", count: .max, max: 16_777_216)),
        ]
        for (input, error) in cases {
            #expect(parseReplies(input) == [.failure(error)], "\(input.debugDescription)")
            #expect(parseReplies(":1\r\n" + input) == [.value(.integer(1)), .failure(error)])
        }
    }

    @Test func limitsHold() {
        var limits = ReplyLimits()
        limits.depthMax = 3
        limits.elementsMax = 10
        limits.bulkBytesMax = 8
        limits.bytesMax = 20
        limits.lineBytesMax = 16
        func ask(_ input: String) -> [Seen] { parseReplies(input, limits: limits) }
        #expect(ask("*1\r\n*1\r\n*1\r\n:1\r\n") == [.value(.array([.array([.array([.integer(1)])])]))])
        let depth = WireError.tooLong(what: "reply's depth", count: 4, max: 3)
        #expect(ask("*1\r\n*1\r\n*1\r\n*1\r\n") == [.failure(depth)])
        #expect(ask("|0\r\n|0\r\n|0\r\n|0\r\n") == [.failure(depth)])
        #expect(ask("*9\r\n" + String(repeating: ":1\r\n", count: 9)).count == 1)
        #expect(
            ask(
                "*2\r\n*4\r\n" + String(repeating: ":1\r\n", count: 4) + "*5\r\n"
                    + String(repeating: ":1\r\n", count: 5))
                == [.failure(.tooLong(what: "reply", count: 11, max: 10))])
        #expect(ask("$9\r\n") == [.failure(.tooLong(what: "payload", count: 9, max: 8))])
        let eight = "$8\r\n12345678\r\n"
        #expect(
            ask("*3\r\n" + eight + eight + eight) == [.failure(.tooLong(what: "reply", count: 24, max: 20))])
        #expect(ask(eight + eight + eight).count == 3, "a limit is of one reply")
        #expect(ask("+123456789012345\r\n").count == 1)
        #expect(ask("+1234567890123456") == [.failure(.tooLong(what: "line", count: 17, max: 16))])
    }

    @Test func anErrorIsRepeated() {
        var parser = ReplyParser()
        let bad = Array("x\r\n".utf8)
        let good = Array(":1\r\n".utf8)
        #expect(throws: WireError.invalid("reply type")) { _ = try parser.next(bad.span.bytes) }
        #expect(throws: WireError.invalid("reply type")) { _ = try parser.next(good.span.bytes) }
    }

    @Test func accessors() {
        let attributed = RESPValue.attributed(attributes: [], value: .error("ERR x"))
        #expect(attributed.errorText == "ERR x")
        #expect(RESPValue.bulkString(Blob("a")).text == "a")
        #expect(RESPValue.bulkString(Blob([0xFF])).text == nil)
        #expect(RESPValue.integer(3).integer == 3)
        #expect(RESPValue.map([.init(.integer(1), .null)]).elements == [.integer(1), .null])
        #expect(RESPValue.null.isNull && RESPValue.null.text == nil && RESPValue.null.elements == nil)
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func whatIsWrittenReadsBackWhereverItIsCut(seed: UInt64) {
        var source = ValueSource(random: Random(seed: seed))
        for round in 0..<300 {
            let value = source.value(depth: 4)
            var writer = ReplyWriter(version: .three)
            writer.value(value)
            let whole = parseReplies(writer.bytes)
            #expect(
                whole.seen == [.value(value)] && whole.left == 0, "seed \(seed), round \(round): \(value)")
            let single = parseReplies(writer.bytes, cuts: Array(1..<writer.bytes.count))
            #expect(single == whole, "seed \(seed), round \(round): \(value) by bytes")
            for cut in 0..<min(writer.bytes.count, 100) {
                let split = parseReplies(writer.bytes, cuts: [cut])
                #expect(split == whole, "seed \(seed), round \(round): \(value) cut at \(cut)")
            }
            // In RESP2 something simpler is written, but always one reply.
            var plain = ReplyWriter(version: .two)
            plain.value(value)
            let plainSeen = parseReplies(plain.bytes)
            #expect(
                plainSeen.seen.count == 1 && plainSeen.left == 0, "seed \(seed), round \(round): \(value)")
        }
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func mutatedRepliesNeverTrapAndSplitAlike(seed: UInt64) {
        var mutator = Mutator(seed: seed)
        var source = ValueSource(random: Random(seed: seed))
        for round in 0..<1_000 {
            var writer = ReplyWriter(version: .three)
            for _ in 0...mutator.random.below(3) { writer.value(source.value(depth: 3)) }
            let input = mutator.mutate(writer.bytes)
            let cuts = mutator.cuts(input.count)
            let whole = parseReplies(input).seen
            let split = parseReplies(input, cuts: cuts).seen
            // Compared as text, since not-a-number is unequal to itself.
            #expect("\(split)" == "\(whole)", "seed \(seed), round \(round): \(Blob(input)) cut at \(cuts)")
        }
    }
}

import MartletBase
import MartletLoop
import Testing

@Suite struct InboxTests {
    @Test func messagesOfManyThreadsAllArriveAndEachSendersInOrder() throws {
        let senders = 4
        let each = 20_000
        var next = [Int](repeating: 0, count: senders)
        var outOfOrder = 0
        var total = 0
        var pool: WorkerPool?
        try withLoop { loop in
            let inbox = try Inbox<(sender: Int, number: Int)>(loop, countMax: senders * each) { message in
                if message.number != next[message.sender] { outOfOrder += 1 }
                next[message.sender] = message.number + 1
                total += 1
                if total == senders * each { loop.stop() }
            }
            pool = try WorkerPool(name: "senders", threads: senders, queuedMax: senders)
            for sender in 0..<senders {
                let taken = pool?.submit {
                    for number in 0..<each {
                        let sent = inbox.send((sender, number))
                        if !sent { Issue.record("the inbox holds all of them") }
                    }
                }
                #expect(taken == true)
            }
        }
        pool?.shutDown()
        #expect(outOfOrder == 0)
        #expect(total == senders * each)
    }

    @Test func aFullInboxRefusesAndAClosedOneHandsOutWhatItTook() throws {
        var received: [Int] = []
        try withLoop { loop in
            let inbox = try Inbox<Int>(loop, countMax: 3) { received.append($0) }
            for i in 0..<5 { #expect(inbox.send(i) == (i < 3)) }
            inbox.close()
            #expect(!inbox.send(9))
            let last = LoopTimer(loop) { if received.count == 3 { loop.stop() } }
            loop.onTurnEnd { last.arm(at: .zero) }
        }
        #expect(received == [0, 1, 2])
    }

    @Test func sendingToAnInboxWhoseLoopHasEndedIsRefused() throws {
        var inbox: Inbox<Int>?
        try withLoop { loop in
            inbox = try Inbox<Int>(loop, countMax: 3) { _ in loop.stop() }
            let sent = inbox?.send(1)
            #expect(sent == true)
        }
        let sent = inbox?.send(2)
        #expect(sent == false)
        inbox?.close()
    }
}

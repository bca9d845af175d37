import CUV
import MartletBase

/// A loop's letter box: any thread sends, the loop's thread receives.
///
/// Sending appends to an array under a lock; the first message since the loop last looked wakes it
/// (`uv_async_send`). The loop swaps the array for an empty one and hands out the messages in their order:
/// one lock and one wake-up for all that were sent meanwhile. Messages of one sender stay in order.
package final class Inbox<Message: Sendable>: Sendable {
    private struct State {
        var messages: [Message] = []
        var isClosed = false
    }

    private let state = Locked(State())
    private let wakeUp: WakeUp.Sender
    /// The most messages that may wait.
    package let countMax: Int

    /// `onMessage` is called on the loop's thread.
    package init(
        _ loop: EventLoop, countMax: Int, onMessage: @escaping (Message) -> Void
    ) throws(LoopError) {
        self.countMax = countMax
        let receiver = try WakeUp(loop)
        wakeUp = receiver.sender
        var spare: [Message] = []
        receiver.onWake = { [self] in
            let isClosed = state.withLock { state in
                swap(&state.messages, &spare)
                return state.isClosed
            }
            for message in spare { onMessage(message) }
            if spare.capacity > Limits.inboxRetainedMax {
                spare = []
            } else {
                spare.removeAll(keepingCapacity: true)
            }
            if isClosed { receiver.close() }
        }
        receiver.onClosing = { [self] in state.withLock { $0.isClosed = true } }
    }

    /// May be called on any thread.
    /// - Returns: false when the inbox is full or closed: the message wasn't taken.
    package func send(_ message: Message) -> Bool {
        // The lock is held over the wake-up, so that the handle isn't closed in between.
        state.withLock { state in
            if state.isClosed || state.messages.count >= countMax { return false }
            state.messages.append(message)
            if state.messages.count == 1 { wakeUp.send() }
            return true
        }
    }

    /// Takes no more messages; those that were taken are still handed out. May be called on any thread.
    package func close() {
        state.withLock { state in
            if state.isClosed { return }
            state.isClosed = true
            wakeUp.send()
        }
    }
}

/// libuv's wake-up of a loop by another thread.
final class WakeUp: LoopHandle {
    /// The one thing that other threads may hold of a loop.
    ///
    /// Safe: `uv_async_send` may be called on any thread, as long as the handle isn't closing; who holds a
    /// sender keeps to that by a lock.
    struct Sender: @unchecked Sendable {
        fileprivate let async: UnsafeMutablePointer<uv_async_t>

        func send() { uv_async_send(async) }
    }

    var onWake: (() -> Void)?
    /// After this returns `Sender.send` isn't called any more.
    var onClosing: (() -> Void)?

    init(_ loop: EventLoop) throws(LoopError) {
        super.init(loop, uv_async_t.self)
        let code = uv_async_init(loop.uv, sender.async) { owner($0?.pointee.data, WakeUp.self).woken() }
        try check(code, .wake)
        didOpen()
    }

    var sender: Sender { Sender(async: raw.assumingMemoryBound(to: uv_async_t.self)) }

    private func woken() {
        if !isClosing { onWake?() }
    }

    override func willClose() {
        onClosing?()
    }

    override func didClose() {
        onWake = nil
        onClosing = nil
    }
}

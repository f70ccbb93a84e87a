// Takes the place of ArgumentParser's file of this name in the wheel; the same doors without Foundation. See setup.py.

extension Error {
    /// ArgumentParser asks for `LocalizedError` first. Only Foundation declares it, and the wheel has no Foundation.
    func describe() -> String { String(describing: self) }
}

enum JSONEncoder {
    static func encode<T: Encodable>(_ value: T) -> String {
        guard let text = try? JSONWriter.write(value, pretty: true, escapesSlashes: true) else { return "" }
        return String(decoding: text, as: UTF8.self)
    }
}

import Testing

extension Trait where Self == TimeLimitTrait {
    /// Ends a test that would never end. It says nothing of speed: hundreds of tests share what processors there are.
    public static var endsEvenIfItHangs: Self { .timeLimit(.minutes(15)) }
}

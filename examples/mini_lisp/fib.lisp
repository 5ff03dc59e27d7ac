; Fibonacci numbers: with double recursion, and in a loop of tail calls.
(define (fib n)
  (if (< n 2) n (+ (fib (- n 1)) (fib (- n 2)))))
(display (fib 24)) (newline)

(define (loop n a b)
  (if (= n 0) a (loop (- n 1) b (+ a b))))
(display (loop 90 0 1)) (newline)

; A recursion deeper than a thread's stack.
(define (count n) (if (= n 0) 0 (+ 1 (count (- n 1)))))
(display (count 200000)) (newline)
;=> 46368
;=> 2880067194370816120
;=> 200000

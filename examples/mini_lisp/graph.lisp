; A graph that changes: the program takes nodes out of a ring, one after the other (Josephus), and
; relinks a table of shared, cyclic lists.
(define (ring n)
  (let ((last (cons n '())))
    (define (more k rest)
      (if (= k 0) rest (more (- k 1) (cons k rest))))
    (let ((first (more (- n 1) last)))
      (set-cdr! last first)
      last)))

(define (josephus n k)
  (define (skip at k) (if (= k 1) at (skip (cdr at) (- k 1))))
  (define (go at)
    (if (eq? at (cdr at))
        (car at)
        (let ((before (skip at k)))
          (set-cdr! before (cdr (cdr before)))
          (go before))))
  (go (ring n)))

(display (josephus 41 3)) (newline)
(display (josephus 5000 7)) (newline)

; Each slot's list ends in another slot's: the program changes edges while the collector runs.
(define table (make-vector 64 '()))
(define (random x) (remainder (+ (* x 1103515245) 12345) 2147483648))
(define (tie n x)
  (if (= n 0)
      x
      (let ((a (remainder (quotient x 65536) 64)) (y (random x)))
        (let ((b (remainder (quotient y 65536) 64)))
          (vector-set! table a (cons n (vector-ref table b)))
          (if (= 0 (remainder n 50)) (vector-set! table b '()))
          (tie (- n 1) (random y))))))
(display (tie 60000 42)) (newline)

(define (length list n) (if (null? list) n (length (cdr list) (+ n 1))))
(define (sum at n) (if (= at 64) n (sum (+ at 1) (+ n (length (vector-ref table at) 0)))))
(display (> (sum 0 0) 0)) (newline)
;=> 31
;=> 4173
;=> 405819498
;=> #t

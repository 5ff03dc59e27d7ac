; In how many ways do n queens stand on a board of n by n and leave each other alone?
(define (safe? row distance placed)
  (if (null? placed)
      #t
      (let ((other (car placed)))
        (if (= row other) #f
            (if (= row (+ other distance)) #f
                (if (= row (- other distance)) #f
                    (safe? row (+ distance 1) (cdr placed))))))))

(define (queens n)
  (define (place column placed)
    (if (= column 0)
        1
        (let ((total 0))
          (define (try row)
            (if (> row n)
                total
                (begin
                  (if (safe? row 1 placed)
                      (set! total (+ total (place (- column 1) (cons row placed)))))
                  (try (+ row 1)))))
          (try 1))))
  (place n '()))

(display (list (queens 4) (queens 5) (queens 6) (queens 7) (queens 8))) (newline)
;=> (2 10 4 40 92)

"""The page of `mpidec report`: folders to runs (`collect`), numbers (`series`), pictures (`figures`), HTML (`page`)."""

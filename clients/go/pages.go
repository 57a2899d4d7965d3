package mitosis

import "iter"

// pages returns the items of a list, page after page. Every range over it begins with the first page.
func pages[Message, Item any](
	read func(token string) (items []Message, next string, err error), decode func(Message) Item,
) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for token := ""; ; {
			items, next, err := read(token)
			if err != nil {
				var none Item
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(decode(item), nil) {
					return
				}
			}
			if next == "" {
				return
			}
			token = next
		}
	}
}

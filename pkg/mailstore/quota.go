package mailstore

func (s *Store) checkQuota(place, int64, int64) error { return nil }
func (s *Store) quotaChange(*folder, int64, int64)    {}
func (s *Store) quotaForget(string)                   {}

package config

// allRows returns the table of parameters, area by area.
func allRows() [][]row {
	return [][]row{
		rowsBounce(),
		rowsCleanup(),
		rowsCore(),
		rowsInstall(),
		rowsLmtp(),
		rowsLmtpd(),
		rowsLocal(),
		rowsLogging(),
		rowsMilter(),
		rowsMailAccess(),
		rowsOwn(),
		rowsPop3(),
		rowsPostscreen(),
		rowsQueue(),
		rowsRewriting(),
		rowsRouting(),
		rowsSasl(),
		rowsSmtp(),
		rowsSmtpd(),
		rowsSmtpdPolicy(),
		rowsSubmission(),
		rowsTables(),
		rowsTlsClient(),
		rowsTlsCommon(),
		rowsTlsServer(),
		rowsVerify(),
	}
}
